"""What can go wrong while a demo is set up; each message is written for the person who typed the command."""

from __future__ import annotations


class DemoError(RuntimeError):
    """Base of every failure that the command line reports in one paragraph, without a traceback."""


class ChildDiedError(DemoError):
    """A process that should be running has ended by itself; the message holds the tail of its log."""


class CommandFailedError(DemoError):
    """A command that had to succeed returned another code than 0; the message holds the tail of its log."""


class NotReadyError(DemoError):
    """Something did not become ready within its time."""


class NoPythonForDirectorError(DemoError):
    """Celery Director needs Python 3.9, 3.10 or 3.11 and this machine offers none of them."""
