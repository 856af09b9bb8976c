"""Triggers: deferred waits for remote runs."""
