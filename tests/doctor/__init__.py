"""Tests of `etlapis doctor`."""
