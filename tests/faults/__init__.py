"""The fault campaign: seeded scenarios of what can go wrong, each judged by the vendor's own ledger."""
