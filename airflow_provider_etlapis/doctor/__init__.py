"""`etlapis doctor`: which assumptions about a vendor hold on the user's own server, and which settings would fit it."""
