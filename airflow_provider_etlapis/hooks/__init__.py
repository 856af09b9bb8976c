"""One hook a vendor: its authentication and all endpoints of its document, in the vendor's own words."""
