"""The browser is a fixture of these tests alone: nothing else needs selenium to be installed."""

from __future__ import annotations

from tests.support.browser import chromium

__all__ = ["chromium"]
