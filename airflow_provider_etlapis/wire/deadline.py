"""The time that a caller has left, known to everything that it calls in the same task or thread.

Nothing on the wire waits beyond it: not for an answer, a place in the budget, a turn to log in, or the next try.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float] = ContextVar("etlapis_ends_at", default=math.inf)


@contextmanager
def until(moment: float | None) -> Iterator[None]:
    """Let nothing inside of the block go on after a moment; a nearer one that is set already stays.

    A task that is started inside of the block inherits the moment, unless it gets a context of its own.

    :param moment: by ``time.monotonic``; ``None`` sets none.
    """
    if moment is None:
        yield
        return
    token = _ends_at.set(min(_ends_at.get(), moment))
    try:
        yield
    finally:
        _ends_at.reset(token)


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Let nothing inside of the block take longer than this, all requests and pauses together.

    :param seconds: ``None`` sets no limit.
    """
    with until(None if seconds is None else time.monotonic() + seconds):
        yield


def left() -> float:
    """Return the seconds that are left, infinite where nobody has set a limit; below 0 once it is over."""
    return _ends_at.get() - time.monotonic()
