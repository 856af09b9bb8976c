"""Sensors that wait for a remote run which something else started."""
