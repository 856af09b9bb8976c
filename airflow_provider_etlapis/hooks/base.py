"""What every vendor's hook has: the few things that operators, waits and people on call need of a vendor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, ClassVar, Self

from airflow_provider_etlapis.exceptions import InvalidInputError, NotOfferedError
from airflow_provider_etlapis.hooks.connected import ConnectedHook
from airflow_provider_etlapis.hooks.endpoints import Program, checked_calls, endpoint
from airflow_provider_etlapis.runs.evidence import Evidence, Search, StartProof
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.text import shown, without_value
from airflow_provider_etlapis.wire.budget import urgent
from airflow_provider_etlapis.wire.call import Call

READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class CancelReport:
    """What came of a request to cancel a run.

    :param asked: whether the vendor was asked to cancel, and may have begun to.
    :param note: for the task's log.
    :param try_again: whether the vendor, or something before it, was away: a later request may be heard.
    """

    asked: bool
    note: str
    try_again: bool = False


def go_first() -> None:
    """Let the requests of this context go before others of their connection, within its budget."""
    urgent.set(True)


def _refuse_repeatable_start(call: Call[Any]) -> None:
    if call.is_repeatable and call.method not in READS:
        raise RuntimeError(f"{call.describe()} starts a run, or is part of a start, and claims to be repeatable")


class RemoteRunHook(ConnectedHook):
    """Base of the vendors' hooks.

    A vendor's hook says how its connection becomes an address and a credential, defines the endpoints of its
    document, and gives the run interface: start, state of one, state of many, cancel, log, lost start.
    """

    start_proof: ClassVar[StartProof] = StartProof(
        "", "hidden", "hidden", "", "nowhere: this vendor cannot be searched"
    )
    """What shows that a run is the one that an unanswered start call has made; the vendor's page says the same."""

    @classmethod
    def ref_of(cls, run_id: str) -> RunRef:
        """Return the reference of a run from its ids as one text, as logs and the XCom ``run_id`` show it.

        :raises InvalidInputError: if these are not the ids of a run.
        """
        make: Callable[..., RunRef] = cls.ref  # type: ignore[attr-defined]  # each vendor's has ids of its own
        names = tuple(signature(make).parameters)
        parts = run_id.strip().split("/") if isinstance(run_id, str) else []
        if len(parts) != len(names):
            raise InvalidInputError(
                f"a run of {cls.form.hook_name} is named {'/'.join(names)}, not {shown(run_id)}{without_value(run_id)}"
            )
        return make(*parts)

    @endpoint
    @abstractmethod
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a run.

        Raises ``AlreadyRunningError`` where the vendor refuses because the thing runs already.

        :param spec: what to start, as the vendor's operator made it; checked there.
        :param marker: text that recognises the run later, where the vendor can carry one.
        """

    @endpoint
    def start_once(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a run by :meth:`start_run`, and see that none of its requests is one that the wire may repeat.

        :raises RuntimeError: if one claims to be; nothing was sent.
        """
        return (yield from checked_calls(self.start_run.plan(spec, marker), _refuse_repeatable_start))

    @endpoint
    @abstractmethod
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return what the vendor says about one run, whole."""

    @endpoint
    def read_newest(self, ref: RunRef) -> Program[RemoteRun]:
        """Return the newest run of a thing that has ended at or after ``ref.since``, whoever started it.

        While there is none, return a run that is not terminal, whose status says what is waited for.
        """
        yield from ()
        raise InvalidInputError(f"runs of {ref.vendor} cannot be waited for by what they run")

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs, newest first, whoever started them; without steps and logs.

        :param limit: how many at most.
        :param of: the thing whose runs are wanted, named as for :meth:`runs_of`; ``None`` for all that is seen.
        :raises NotOfferedError: if the vendor's API, or this credential, cannot list them; it says what to use.
        """
        yield from ()
        raise NotOfferedError(f"{self.form.hook_name}: the newest runs cannot be listed; name one by its id")

    @endpoint
    def list_shared(self, since: float) -> Program[Any]:
        """Return what :meth:`runs_of` needs for any thing, where one list of the vendor shows the runs of all.

        :param since: seconds since the epoch; as for :meth:`runs_of`, the earliest of all things.
        """
        yield from ()
        return None

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the runs of a thing, whoever started them, that go on or have ended at or after a moment.

        More may be returned, in any order. Runs that began before ``since`` may be missing, where a list is in the
        order of starts: who asks remembers which ones it has seen going on, and reads those singly.

        :param what: names the thing, in the vendor's words: a flow, workflow definition, workspace or job.
        :param since: seconds since the epoch.
        :param shared: what :meth:`list_shared` has returned.
        :raises NotOfferedError: if the vendor's API does not tell the runs of a thing apart.
        """
        yield from ()
        raise NotOfferedError(f"{self.form.hook_name}: the runs of a thing cannot be told apart")

    @endpoint
    def look(self, ref: RunRef) -> Program[RemoteRun]:
        """Return what the vendor says about what a reference names: one run, or whichever has ended since.

        Waits ask this again and again. A vendor whose whole answer is heavy may return the state alone, and add
        the rest in :meth:`complete_run`.
        """
        if ref.newest is None:
            return (yield from self.read_run.plan(ref))
        run = yield from self.read_newest.plan(ref)
        if ref.newest == "ended_well" and run.state.is_terminal and not run.state.is_good:
            return replace(run, state=RunState.RUNNING, vendor_status=f"{run.vendor_status}, waiting for a good end")
        return run

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended run with facts that :meth:`look` leaves out or that take further requests."""
        yield from ()
        return run

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return the run because of which a start was refused, ``None`` if there is none any more."""
        yield from ()
        return None

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return what few requests tell about many runs, by run id; only what is sure.

        A run that is missing is not a finished run: it is read singly. That a run has ended is sure; how it ended
        is what a read of its own says, which whoever is told of an end makes.
        """
        yield from ()
        return {}

    @endpoint
    @abstractmethod
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Ask the vendor to cancel a run, unless it has ended already."""

    @endpoint
    def cancel_seen(self, run: RemoteRun) -> Program[CancelReport]:
        """Ask the vendor to cancel a run that a list has just shown, without reading it again where that serves."""
        if run.state.is_terminal:
            return CancelReport(False, f"run {run.ref.run_id} had ended already: {run.vendor_status}")
        return (yield from self.cancel_run.plan(run.ref))

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the run's log lines since a cursor (from the start without one)."""
        yield from ()
        return LogLines((), cursor)

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the run's log."""
        yield from ()
        return ()

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return what must be known before a start call so that a lost answer can be settled, as plain JSON."""
        yield from ()
        return None

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look once for the run of a start call that got no answer.

        Says what this one look proves, by :func:`~airflow_provider_etlapis.runs.evidence.weigh`. Whether the call may
        still take effect, and so whether to look again, is not its business.
        """
        yield from ()
        return Search(
            Evidence.UNSURE, f"run {intent.marker!r}, which this vendor's API cannot be asked for", is_final=True
        )

    @property
    def known_requests_per_minute(self) -> float | None:
        """The connection's budget, ``None`` before the connection has been looked up; never looks it up."""
        return None if self._channel is None else self._channel.settings.requests_per_minute

    def keep_limits_of(self, other: RemoteRunHook) -> None:
        """Go on with another hook's request budget, and with a pause that the vendor has asked of it."""
        self._earlier_budget = other._channel.budget if other._channel is not None else other._earlier_budget

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a hook on the same connection: a DAG is copied with its operators, also once they have been used."""
        return type(self)(self.conn_id)

    @property
    def reads_in_bulk(self) -> bool:
        """Whether :meth:`read_runs` serves this connection, now."""
        return self.capabilities.bulk
