"""Fixtures shared by tests of all folders."""
