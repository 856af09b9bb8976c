"""Did a task come out as its DAG intends? Pure: tags, states and log text in, a verdict out.

A DAG of the demo carries the tag `etlapis-demo`. All its tasks are to succeed, except those that it names in a tag
`expect:<task_id>=<state>`; of one that is to fail, the log must hold the vendor's own reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TAG = "etlapis-demo"
EXPECT = "expect:"


@dataclass(frozen=True)
class Outcome:
    """How one task instance ended."""

    task: str
    expected: str
    state: str
    reason: str | None = None
    """The exception that the task log ends with."""
    vendor_reason: str | None = None
    log: str = ""

    @property
    def problem(self) -> str | None:
        """Say what is not as intended, None if all is."""
        if self.state != self.expected:
            return f"is {self.state}, should be {self.expected}" + (f": {self.reason}" if self.reason else "")
        if self.state != "failed":
            return None
        if self.reason is None:
            return "failed as intended, but its log holds no exception"
        if self.vendor_reason is None:
            return f"failed, but not for a reason of the vendor's: {self.reason}"
        if self.vendor_reason not in self.log:
            return f"failed as intended, but its log lacks the vendor's reason: {self.vendor_reason}"
        return None


def expectations(tags: Iterable[str]) -> dict[str, str]:
    """Read which tasks are to end otherwise than in success, and how."""
    pairs = (tag.removeprefix(EXPECT).partition("=") for tag in tags if tag.startswith(EXPECT))
    return {task_id: state for task_id, _, state in pairs}
