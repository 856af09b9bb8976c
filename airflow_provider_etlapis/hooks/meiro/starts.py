"""What shows that a job of Meiro Integrations is the one of a start call that got no answer. Decisions only.

A workspace takes no inputs, so a job of it that began after the call did what was asked. It may be taken if this
connection's user has started it. What must not be relaxed: a job is somebody else's only if it is known who we are;
and without a watermark nothing is shown to have begun after the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.hooks.meiro.shapes import WorkspaceJob
from airflow_provider_etlapis.runs.evidence import StartProof, began_before
from airflow_provider_etlapis.runs.resume import Intent

START_PROOF = StartProof(
    marker="",
    inputs="none",
    starter="shown",
    order="an id above the highest one of the workspace just before the call",
    source="the workspace's list of jobs, newest first, complete once it has been read down to that id",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose jobs are ours.

    No call of the API returns who the caller is. The connection's ``user_id`` does, which a person has typed; a job
    that this credential has started shows its user, and so confirms or corrects it.

    :param user_id: ``None`` if it is not known at all.
    :param is_confirmed: whether a job of ours has shown it.
    """

    user_id: int | None
    is_confirmed: bool

    def has_started(self, job: WorkspaceJob) -> bool | None:
        """Return whether this user has started a job; ``None`` if that cannot be determined."""
        starter = job.get("user_id")
        if self.user_id is None or starter is None:
            return None
        if starter == self.user_id:
            return True
        return False if self.is_confirmed else None

    def describe(self) -> str:
        """Return who it is, for a message."""
        if self.user_id is None:
            return "by any user, because the connection has no user_id"
        if self.is_confirmed:
            return f"by user {self.user_id}"
        return f"by user {self.user_id} (user_id of the connection, which no job started by it has confirmed so far)"


@dataclass(frozen=True, slots=True)
class Watermark:
    """What a workspace showed just before a start call.

    :param newest_job_id: the highest id of its jobs, 0 if it had none; ``None`` if that is not known.
    :param user_id: the user of this credential, if it was known for sure by then.
    """

    newest_job_id: int | None = None
    user_id: int | None = None

    @classmethod
    def before(cls, newest_first: Sequence[WorkspaceJob], caller: Caller) -> Watermark:
        """Return the watermark of the newest jobs; none if their order shows that they are not the newest."""
        known = caller.user_id if caller.is_confirmed else None
        ids = [_id_of(job) for job in newest_first]
        if ids != sorted(ids, reverse=True):
            return cls(None, known)
        return cls(ids[0] if ids else 0, known)

    @classmethod
    def of(cls, intent: Intent) -> Watermark:
        """Return the watermark of an intent, also of one that an older release has written."""
        kept = intent.watermark if isinstance(intent.watermark, Mapping) and not intent.is_reconstructed else {}
        return cls(kept.get("newest_job_id"), kept.get("user_id"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        kept = {"newest_job_id": self.newest_job_id}
        return kept if self.user_id is None else {**kept, "user_id": self.user_id}

    def began_after(
        self, job: WorkspaceJob, created: datetime | None, call_at: float, clock_ahead: float | None
    ) -> bool | None:
        """Return whether a job began after the call; ``None`` if that cannot be determined.

        Its time is used only where there is no id to compare: it is in whole seconds, and its zone is a setting of the
        connection.
        """
        if self.newest_job_id is not None:
            return job["id"] > self.newest_job_id
        started = None if created is None else created.timestamp()
        return False if began_before(started, call_at, clock_ahead) else None

    def describe(self, call_at: float) -> str:
        """Return what is looked for, for a message."""
        if self.newest_job_id is not None:
            return f"above id {self.newest_job_id}"
        return f"since {datetime.fromtimestamp(call_at, UTC):%Y-%m-%d %H:%M:%S} UTC"


class NewestJobs:
    """Takes the pages of a list that is asked for newest first, and notices if it is not."""

    def __init__(self) -> None:
        self.is_newest_first = True
        self._jobs: dict[int, WorkspaceJob] = {}
        self._last_id: int | None = None

    @property
    def jobs(self) -> list[WorkspaceJob]:
        """The jobs so far, each once, in the order of the list."""
        return list(self._jobs.values())

    def take(self, page: Sequence[WorkspaceJob]) -> None:
        """Take in a page; jobs that start meanwhile push others back, so some may come twice."""
        for job in page:
            number = _id_of(job)
            if number not in self._jobs and self._last_id is not None and number > self._last_id:
                self.is_newest_first = False
            self._last_id = number
            self._jobs.setdefault(number, job)


def _id_of(job: WorkspaceJob) -> int:
    """Return the id of a job.

    :raises VendorUnavailableError: if it has none: a row that cannot be read must not be passed over.
    """
    number = job.get("id")
    if not isinstance(number, int):
        raise VendorUnavailableError(f"a job without its id was answered; it has {', '.join(sorted(job))}")
    return number
