"""The fixtures of a sandbox whose clock stands still."""

from tests.sandbox.lab import ask, clock, director, start

__all__ = ["ask", "clock", "director", "start"]
