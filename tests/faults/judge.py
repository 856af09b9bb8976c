"""Judges a played scenario by the vendor's ledger: what happened, against what the package promises.

What a policy or a missing call of the vendor makes unavoidable is excused by name, and only there: everything else
that is alive twice, followed by nobody, or told wrongly is a finding.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.sandbox.runs import Run
from tests.faults.scenario import BETWEEN, LATE, OUTAGES
from tests.faults.world import Try, World

Finding = Literal["duplicate", "orphan", "wrong end", "wrong adoption", "leak"]

_REFUSALS = {"status 400", "status 401", "status 403", "status 404"}


@dataclass(frozen=True)
class Problem:
    """Something that must not be."""

    finding: Finding
    text: str


def judge(world: World) -> list[Problem]:
    """Return what is wrong with a played scenario, nothing if it kept every promise."""
    return _Judge(world).problems()


class _Judge:
    def __init__(self, world: World) -> None:
        self.world = world
        self.scenario = world.scenario
        self.capabilities = world.row.hook.capabilities
        self.found: list[Problem] = []
        self.excused: Counter[str] = Counter()
        self.forgetful: set[int] = set()
        """Generations whose tries could not tell the next one what they knew."""
        self.unsettled: set[int] = set()
        """Generations with a start of which the answer was lost."""

    def problems(self) -> list[Problem]:
        before: Try | None = None
        for now in self.world.tries:
            self._note_what_it_may_know(before, now)
            self._adopts(now)
            self._starts(now)
            self._cancels(now)
            self._ending(now)
            self._leaves(now)
            before = now
        self._orphans()
        self._leaks()
        return self.found

    def wrong(self, finding: Finding, now: Try, text: str) -> None:
        told = f"try {now.number} ({now.act.kind}, ended as {now.ending} {_named(now.error)}): {text}"
        self.found.append(Problem(finding, told))

    def _note_what_it_may_know(self, before: Try | None, now: Try) -> None:
        generation = now.generation
        if not self.scenario.durable or not self.scenario.keeps_state or now.act.store != "ok":
            self.forgetful.add(generation)
        if (
            before is not None
            and before.generation == generation
            and before.ending == "lost"
            and (before.act.kind in ("die_after_intent", "die_after_start", "die_before_note"))
        ):
            self.unsettled.add(generation)
        if any(moment in ("start", "obtain") for moment, _ in now.struck):
            self.unsettled.add(generation)
        if before is not None and generation in self.forgetful:
            self.unsettled.add(generation)

    # Never twice

    def _starts(self, now: Try) -> None:
        for started in self.world.starts:
            if started.run.id not in now.starts:
                continue
            twins = [run_id for run_id in started.alive if run_id not in self.excused and run_id != now.raced]
            if self._race_lets_live(now):
                twins = []
            if self._may_be_twice(now):
                self.excused.update(twins)
            elif twins:
                self.wrong("duplicate", now, f"started {started.run.id} while {twins} was alive")

    def _race_lets_live(self, now: Try) -> bool:
        """Whether the run of the cleared try may go on when this one starts its own: nobody could have ended it."""
        before = self._before(now)
        if before is None or before.raced is None:
            return False
        asked = self.scenario.cancel_on_kill and self.scenario.waits and self.capabilities.cancel
        remembered = not self.forgetful & {before.generation, now.generation}
        return not (asked and remembered) or bool(now.struck)

    def _may_be_twice(self, now: Try) -> bool:
        if self.scenario.on_lost_start == "restart" and now.generation in self.unsettled:
            return True  # at the user's own risk
        if not self.scenario.durable:
            return True  # switched off by the user
        # Said in a warning: a store that could not be written, and a try that could not go on.
        unwritten = ("broken", "unwritable")
        return any(one.act.store in unwritten for one in self.world.tries if one.generation == now.generation)

    # Never another's run

    def _adopts(self, now: Try) -> None:
        """A run that somebody else has started is ours neither to take nor to cancel."""
        rivals = {one.rival for one in self.world.tries if one.rival is not None}
        run = self.world.run_of(now.run_id)
        if run is not None and run.id in rivals and not self._may_take(run, now):
            self.wrong("wrong adoption", now, f"took run {run.id}, which somebody else has started")
        for run_id in rivals & set(now.cancels):
            rival = self.world.run_of(run_id)
            if rival is None or not self._may_take(rival, now):
                self.wrong("wrong adoption", now, f"cancelled run {run_id}, which somebody else has started")

    def _may_take(self, run: Run, now: Try) -> bool:
        """Whether the run did what was asked, by this very credential, or the user wants the likeliest one."""
        if self.scenario.on_lost_start == "adopt" and now.generation in self.unsettled:
            return True
        proof = self.world.row.hook.start_proof
        rival = next(one.act.rival for one in self.world.tries if one.rival == run.id)
        return proof.inputs == "none" and not proof.marker and rival is not None and rival.user == "same"

    # Cancelled when asked to, and never else

    def _cancels(self, now: Try) -> None:
        by_person = now.ending == "person" and self.scenario.cancel_on_kill
        by_time = isinstance(now.error, exceptions.RemoteRunTimeoutError) and self.scenario.cancel_on_timeout
        before = self._before(now)
        raced = before.raced if before is not None else None
        for run_id in set(now.cancels) - {one.rival for one in self.world.tries}:
            if self.scenario.cancel_on_kill and run_id in self._of_before_a_clear(now):
                continue
            own = self.world.run_of(now.run_id)
            if not (by_person or by_time) or own is None or own.id != run_id:
                self.wrong("wrong end", now, f"run {run_id} was cancelled, which nobody asked for")
        if now.raced is None and (by_person or by_time) and now.run_id is not None:
            self._must_be_cancelled(now, now.run_id)
        if raced is not None and self.scenario.cancel_on_kill:
            self._must_be_cancelled(now, raced)

    def _of_before_a_clear(self, now: Try) -> set[str]:
        """Return the runs that earlier tries started, before the clear that this one follows."""
        return {started.run.id for started in self.world.starts if started.generation < now.generation}

    def _must_be_cancelled(self, now: Try, run_id: str) -> None:
        run = self.world.run_of(run_id)
        if run is None or not self.capabilities.cancel or run.cancelled_at is not None:
            return
        if run_id != now.run_id and run.id not in now.alive_before:
            return  # it had ended before the trigger was told
        if self._cancel_was_struck(now):
            # An empty answer with a good status is a yes to some vendors.
            lied_to = any(fault in ("status 200", "empty") for _, fault in now.struck)
            if "may go on" not in now.log and not lied_to:
                self.wrong("wrong end", now, f"cancelling {run_id} failed, and the log does not say so")
            return
        self.wrong("orphan", now, f"run {run_id} was not cancelled")

    def _cancel_was_struck(self, now: Try) -> bool:
        # Reads and logins before the cancel call may be struck as well, by what was meant for the wait.
        return any(moment in ("cancel", "look", "take_up") for moment, _ in now.struck)

    # Ended as promised

    def _ending(self, now: Try) -> None:
        if now.ending == "success":
            self._success(now)
        elif now.ending == "failed":
            self._failure(now)
        if now.ending in ("success", "failed") and now.reached_wait and self.scenario.waits:
            self._what_had_to_happen(now)

    def _success(self, now: Try) -> None:
        manifest = now.manifest or {}
        run = self.world.run_of(manifest.get("run_id"))
        if run is not None and run.seeded:
            return  # judged as an adoption
        if run is None:
            self.wrong("wrong end", now, f"succeeded with a run that is none of the task's: {manifest.get('run_id')}")
            return
        if not self.scenario.waits:
            return
        phase = self.world.phase_of(run)
        if phase not in ("success", "warning"):
            self.wrong("wrong end", now, f"succeeded although run {run.id} is {phase}")
        if run.cancelled_at is not None and now.generation not in self.forgetful:
            self.wrong("wrong end", now, f"succeeded with run {run.id}, which was cancelled")
        began = next(started for started in self.world.starts if started.run is run)
        adopts = self.scenario.on_lost_start == "adopt" and now.generation in self.unsettled
        if began.generation != now.generation and not adopts and not self._cannot_tell_generations(now):
            self.wrong("wrong end", now, f"a clear was answered with run {run.id} of before the clear")

    def _cannot_tell_generations(self, now: Try) -> bool:
        """Whether the vendor is all there is to ask, and it does not say who started a run for what."""
        return now.generation in self.unsettled

    def _failure(self, now: Try) -> None:
        error = now.error
        run = self.world.run_of(now.run_id)
        if isinstance(error, exceptions.RemoteRunFailedError):
            phase = None if run is None else self.world.phase_of(run)
            if phase in ("success", "warning") and run is not None and self._may_be_cancelled(now, run):
                return
            if phase not in ("error", "canceled"):
                self.wrong("wrong end", now, f"says that run {now.run_id} has failed, and it is {phase}")
            return
        if not self._may_fail_so(now, error):
            self.wrong("wrong end", now, f"nothing explains this: {error}")

    def _may_be_cancelled(self, now: Try, run: Run) -> bool:
        """Whether the run was cancelled, or was asked to be and the vendor's answer was lost."""
        return run.cancelled_at is not None or any(
            isinstance(one.error, exceptions.RemoteRunTimeoutError) and self._cancel_was_struck(one)
            for one in self.world.tries
            if one.run_id == now.run_id
        )

    def _may_fail_so(self, now: Try, error: BaseException | None) -> bool:
        kind = now.act.kind
        hit = {moment for moment, _ in now.struck}
        refused = {what for _, what in now.struck} & _REFUSALS
        taken_up = bool(hit & {"start", "obtain", "take_up"}) or (now.was_over and bool(hit))
        if isinstance(error, exceptions.RemoteRunTimeoutError):
            return kind in LATE
        if isinstance(error, exceptions.PollingGaveUpError):
            return kind in OUTAGES and "retry of this task attaches to it again" in str(error)
        if isinstance(error, exceptions.RemoteRunGoneError):
            return kind == "gone"
        if isinstance(error, exceptions.TaskStateUnavailableError):
            return now.act.store != "ok" and now.number > 1 and not now.starts
        if isinstance(error, exceptions.StartLostError):
            return self._may_be_lost(now) and "Check on the vendor's side" in str(error)
        if isinstance(error, exceptions.AlreadyRunningError):
            unsettled = now.generation in self.unsettled and self.scenario.on_lost_start == "restart"
            return bool(now.alive_before) or unsettled or any(one.rival for one in self.world.tries)
        if isinstance(error, exceptions.VendorUnavailableError):
            return taken_up
        if isinstance(error, exceptions.PermanentError):
            # A first answer of something in between is tried again by the wire, unless the user wants no retries there.
            is_odd = not self.scenario.wire_retries and bool(
                {int(what[-3:]) for _, what in now.struck if what[-3:].isdigit()} & {*BETWEEN}
            )
            return (taken_up and (bool(refused) or is_odd)) or kind == "refused"
        return kind == "trigger_crash" and type(error).__name__ == "TaskDeferralError"

    def _may_be_lost(self, now: Try) -> bool:
        """Whether what became of a start can be beyond knowing."""
        if now.generation not in self.unsettled or self.scenario.on_lost_start == "restart":
            return False
        if not self.capabilities.finds_lost_starts:
            return True
        if not self.world.row.hook.start_proof.can_show or any(one.rival for one in self.world.tries):
            return True  # what is there may be somebody else's
        # Of the task's first start, with nothing else around, such a vendor tells.
        strikes = [what for moment, what in now.struck if moment in ("start", "obtain")]
        return (
            len(self.world.starts) - len(now.starts) > 0
            or len(now.starts) > 1
            or not strikes
            or bool(now.generation in self.forgetful)
        )

    def _what_had_to_happen(self, now: Try) -> None:
        """A wait for a run that is alive ends in what the act is about."""
        kind, error = now.act.kind, now.error
        wanted: dict[str, tuple[type[BaseException], ...]] = {
            "give_up": (exceptions.PollingGaveUpError,),
            "gone": (exceptions.RemoteRunGoneError, exceptions.PollingGaveUpError),
            "refused": (exceptions.RequestRefusedError, exceptions.PollingGaveUpError),
            **dict.fromkeys(LATE, (exceptions.RemoteRunTimeoutError,)),
        }
        if kind in wanted and not isinstance(error, wanted[kind]):
            self.wrong("wrong end", now, f"{wanted[kind]} was due")
        run = self.world.run_of(now.run_id)
        if kind not in wanted and kind != "trigger_crash" and now.ending == "failed" and run is not None:
            taken_up = any(moment == "take_up" for moment, _ in now.struck)
            good = run.life.outcome in ("success", "warning")
            if good and not taken_up and not self._may_be_cancelled(now, run):
                self.wrong("wrong end", now, f"failed although nothing was wrong with run {now.run_id}: {error}")

    # Never lost

    def _leaves(self, now: Try) -> None:
        """Excuse the runs that a try leaves alive for a reason that it must state."""
        alive = set(self._alive_after(now))
        own = self.world.run_of(now.run_id)
        last_of_generation = self._after(now) is None or self._after(now).generation != now.generation  # type: ignore[union-attr]
        reason = ""
        if now.ending == "person":
            if not self.scenario.cancel_on_kill:
                reason = "cancel_on_kill=False"
            elif not self.capabilities.cancel:
                reason = "the vendor cannot cancel"
            elif self._cancel_was_struck(now):
                reason = "the vendor did not answer the cancel"
            elif now.raced is not None:
                reason = "the trigger is told later"
                after = self._after(now)
                if after is not None and not self._cancel_was_struck(after):
                    return
        elif now.ending == "success" and not self.scenario.waits:
            reason = "wait_for_completion=False"
        elif now.ending == "lost" and last_of_generation:
            reason = "no process of ours was left"
        elif now.ending == "failed" and last_of_generation:
            reason = self._stated(now)
        if reason:
            for run_id in alive:
                if own is None or run_id == own.id or reason.startswith(("no process", "unsettled")):
                    self.excused[run_id] += 1
        if (
            now.generation in self.unsettled
            and last_of_generation
            and (not self.scenario.durable or self.scenario.on_lost_start != "fail")
        ):
            for run_id in alive:
                self.excused[run_id] += 1

    def _stated(self, now: Try) -> str:
        """Return why a failed try leaves its run alone, in the words of its message."""
        error, text = now.error, str(now.error)
        if isinstance(error, exceptions.RemoteRunTimeoutError):
            told = ("left alone", "may go on", "goes on", "not possible")
            return "deadline" if any(word in text for word in told) else ""
        if isinstance(error, exceptions.PollingGaveUpError | exceptions.RequestRefusedError):
            return "left alone"
        if isinstance(error, exceptions.RemoteRunGoneError):
            return "gone"
        if isinstance(error, exceptions.TaskStateUnavailableError):
            return "unsettled: the store cannot be read"
        if isinstance(error, exceptions.StartLostError):
            return "unsettled: a person has to look"
        if isinstance(error, exceptions.VendorUnavailableError | exceptions.PermanentError):
            return "unsettled: the vendor failed"
        return "trigger failed" if type(error).__name__ == "TaskDeferralError" else ""

    def _alive_after(self, now: Try) -> tuple[str, ...]:
        after = self._after(now)
        return self.world.alive() if after is None else after.alive_before

    def _orphans(self) -> None:
        left = [run_id for run_id in self.world.alive() if run_id not in self.excused]
        if left:
            self.wrong("orphan", self.world.tries[-1], f"{left} alive at the end, and nobody follows")

    # Nothing leaked

    def _leaks(self) -> None:
        shown = json.dumps(self.world.shown, default=repr)
        last = self.world.tries[-1]
        for secret in self.world.secrets:
            if secret in shown:
                self.wrong("leak", last, f"the secret {secret[:3]}... can be read")
        for what in self.world.left_open:
            self.wrong("leak", last, f"{what} was left open")

    def _before(self, now: Try) -> Try | None:
        index = self.world.tries.index(now)
        return self.world.tries[index - 1] if index else None

    def _after(self, now: Try) -> Try | None:
        index = self.world.tries.index(now)
        return self.world.tries[index + 1] if index + 1 < len(self.world.tries) else None


def _named(error: BaseException | None) -> str:
    return type(error).__name__ if error is not None else ""
