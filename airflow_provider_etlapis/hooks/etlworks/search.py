"""Collects the runs that may be that of an unanswered start call, with the facts that Etlworks shows. Does no I/O.

The proof is the run key, in the record or the log of a run. That a flow runs once at a time proves nothing about whose
run it is: a person, a schedule or another task may have started it with other parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.runs.evidence import Candidate, Evidence, Search, StartProof, began_before, weigh
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import Intent

START_PROOF: Final = StartProof(
    marker="the run key (run_key_parameter), where the record or the log of a run shows it (c)",
    inputs="hidden",
    starter="hidden",
    order="an auditId above that of the flow's latest run before the call (c)",
    source="the flow's present record (b) and its history (a), where that reaches back to the run before the call",
)

MOST_LOGS = 5
"""Logs read in one look: those of the newest runs."""

PARAMETERS = ("parameters", "params", "variables")  # (c)
_USERS = ("user", "userName", "startedBy")  # (c) in records; the daily report has `user` (b)
_SCHEDULER = "scheduler"
_HASH = re.compile(r"[0-9a-f]{24}$")
_ANY_KEY = r"airflow[\s+%]\S{0,600}?[\s+%](?:20)?[0-9a-f]{24}(?![0-9a-f])"
"""Any task's key, its blanks as such or encoded: ``airflow``, names of DAG and task, a hash."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the start call has sent, and as whom.

    :param parameters: with the run key among them, if one was sent.
    :param run_key: name of the parameter that carried the marker, empty if none did.
    :param login: of the connection, ``None`` if it has an API key, which names nobody.
    """

    parameters: Mapping[str, str]
    run_key: str = ""
    login: str | None = None


class RunKey:
    """Finds the text that recognises a run in records and logs, however those escape it.

    :param name: of the parameter.
    :param marker: its value; the hash at its end is unique and survives any encoding.
    """

    def __init__(self, name: str, marker: str) -> None:
        found = _HASH.search(marker)
        self._unique = found.group() if found else marker
        # Another task's key: the parameter's name and then a whole key. A part of one may be a part of ours.
        self._others = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)[^\n]{{0,40}}?{_ANY_KEY}")

    def is_in(self, text: str) -> bool | None:
        """Say whether a text shows our key, or that of another task instead; ``None`` if it shows neither."""
        if self._unique in text:
            return True
        return False if self._others.search(text) else None


class StartSearch:
    """One look for the run of a start call.

    :param flow_id: of the flow.
    :param intent: of the call; its watermark is ``{"audit_id": ...}`` of the flow's latest run before it, ``None`` in
        it if the flow had never run.
    :param sent: what the call has sent.
    :param clock_ahead: seconds by which the vendor's clock is ahead, if known.
    """

    def __init__(self, flow_id: str, intent: Intent, sent: Sent, clock_ahead: float | None) -> None:
        self._flow_id = flow_id
        self._intent = intent
        self._sent = sent
        self._clock_ahead = clock_ahead
        self._key = RunKey(sent.run_key, intent.marker) if sent.run_key else None
        mark = intent.watermark
        self._knows_before = isinstance(mark, Mapping) and "audit_id" in mark and not intent.is_reconstructed
        self._before: int | None = answers.whole(mark["audit_id"]) if self._knows_before else None
        self._rows: dict[int, Mapping[str, Any]] = {}
        self._nameless: dict[str, Mapping[str, Any]] = {}
        self._shown: dict[int, bool] = {}
        self._latest: int | None = None
        self._has_run = False
        self._listed: set[int] = set()
        self._gap = "its history was not read"

    # What is taken in

    def take_latest(self, record: Mapping[str, Any] | None) -> None:
        """Take in the flow's present record, ``None`` if the flow has never run."""
        if record is not None:
            self._has_run = True
            self._latest = self._take(record)
        elif self._before is not None:
            self._gap = f"the flow had run {self._before} before the call, and shows no run now"

    def take_page(self, rows: Sequence[Mapping[str, Any]], *, is_first: bool, is_last: bool) -> bool:
        """Take in a page of the flow's history.

        :returns: whether further pages could not tell more.
        """
        listed = [audit_id for row in rows if (audit_id := self._take(row)) is not None]
        self._listed.update(listed)
        if is_last and (is_first or rows):  # a further page that is empty may be one that repeats
            self._gap = ""
        elif self._reaches_back(rows, listed):
            self._gap = ""
            is_last = True
        else:
            self._gap = "its history was not read to its end"
        return is_last

    def history_failed(self, reason: str, *, is_unknown: bool) -> None:
        """Note that the history could not be read.

        :param is_unknown: whether the vendor says that there is none.
        """
        self._gap = "" if is_unknown and not self._has_run else f"its history could not be read ({reason})"

    @property
    def is_shown(self) -> bool:
        """Whether a run was found that is surely that of the call."""
        return any(self._candidate(audit_id).is_ours for audit_id in self._shown)

    def logs_wanted(self) -> list[int]:
        """Return the runs whose logs may show the key, the newest first."""
        if self._key is None:
            return []
        open_ones = [number for number in self._rows if self._candidate(number).is_ours is None]
        return sorted(open_ones, reverse=True)[:MOST_LOGS]

    def take_log(self, audit_id: int, text: str) -> None:
        """Take in the log of a run."""
        self._look_for_key(audit_id, text)

    # What comes of it

    def result(self) -> Search:
        """Return what this look proves."""
        every = [self._candidate(audit_id) for audit_id in sorted(self._rows, reverse=True)]
        every += [self._nameless_candidate(row) for row in self._nameless.values()]
        search = weigh(
            every, self._looked_for(), is_complete=not self._why_incomplete, why_incomplete=self._why_incomplete
        )
        if search.sighting is not Evidence.UNSURE:
            return search
        hints = []
        if self._nameless:
            hints.append("some records show no auditId, so it is unknown which runs they are")
        if self._key is None:
            hints.append("no run_key_parameter was sent, and nothing else in Etlworks shows which task started a run")
        return replace(search, looked_for="; ".join([search.looked_for, *hints]))

    def _looked_for(self) -> str:
        text = f"runs of flow {self._flow_id}"
        if self._before is not None:
            text += f" after run {self._before}, the latest before the call"
        if self._key is not None:
            text += f" that show {self._sent.run_key}={self._intent.marker!r} in their record or log"
        return text

    @property
    def _why_incomplete(self) -> str:
        if self._gap:
            return self._gap
        if self._before is not None and not self._has_run:
            return f"the flow had run {self._before} before the call, and shows no run now"
        if self._latest is not None and self._latest not in self._listed:
            return "the history does not show the flow's present run"
        return ""

    # How it is judged

    def _take(self, row: Mapping[str, Any]) -> int | None:
        audit_id = answers.whole(row.get("auditId"))
        if audit_id is None:
            self._nameless.setdefault(str(row.get("status")), row)
            return None
        self._rows[audit_id] = {**self._rows.get(audit_id, {}), **row}
        self._look_for_key(audit_id, json.dumps(row, ensure_ascii=False, default=str))
        return audit_id

    def _look_for_key(self, audit_id: int, text: str) -> None:
        found = self._key.is_in(text) if self._key else None
        if found is not None:
            self._shown[audit_id] = found or self._shown.get(audit_id, False)

    def _candidate(self, audit_id: int) -> Candidate:
        row = self._rows[audit_id]
        run = answers.run_of(row, RunRef(answers.VENDOR, {"flow_id": self._flow_id, "audit_id": str(audit_id)}))
        began_after = self._began_after(audit_id, row)
        has_key = self._shown.get(audit_id)
        if has_key and began_after is False and _ended_badly(run):
            has_key = None  # that of an earlier try, which is over
        return self._with_facts(run, row, has_key, began_after)

    def _nameless_candidate(self, row: Mapping[str, Any]) -> Candidate:
        run = answers.run_of(row, RunRef(answers.VENDOR, {"flow_id": self._flow_id}))
        return self._with_facts(run, row, None, False if self._surely_before(row) else None)

    def _with_facts(
        self, run: RemoteRun, row: Mapping[str, Any], has_key: bool | None, began_after: bool | None
    ) -> Candidate:
        return Candidate(run, has_key, began_after, self._same_inputs(row), self._same_starter(row))

    def _began_after(self, audit_id: int, row: Mapping[str, Any]) -> bool | None:
        """Say whether a run began after the call: by the order of ids, (c), where its clock does not contradict."""
        by_clock = False if self._surely_before(row) else None
        if not self._knows_before:
            return by_clock
        if audit_id == self._before:
            return False
        if self._before is None or audit_id > self._before:
            return True if by_clock is None else None
        return None if self._surely_after(row) else False

    def _surely_before(self, row: Mapping[str, Any]) -> bool:
        return began_before(answers.sure_start_of(row), self._intent.at, self._clock_ahead)

    def _surely_after(self, row: Mapping[str, Any]) -> bool:
        """Say whether the call was surely made before a run began: the same question, with the clocks exchanged."""
        started = answers.sure_start_of(row)
        behind = None if self._clock_ahead is None else -self._clock_ahead
        return started is not None and began_before(self._intent.at, started, behind)

    def _same_inputs(self, row: Mapping[str, Any]) -> bool | None:
        shown = next((found for name in PARAMETERS if (found := _named_values(row.get(name))) is not None), None)
        if shown is None:
            return None
        sent = self._sent.parameters
        legible = {name: shown[name] for name in sent if name in shown and set(shown[name]) != {"*"}}
        if any(sent[name] != value for name, value in legible.items()):
            return False
        return True if legible.keys() == sent.keys() == shown.keys() else None

    def _same_starter(self, row: Mapping[str, Any]) -> bool | None:
        if row.get("eventId") or row.get("eventName") or row.get("messageId"):
            return False  # started by a schedule or by a message to a listener, (b)
        user = next((user for name in _USERS if isinstance(user := row.get(name), str) and user), None)
        if user is None:
            return None
        if user.lower() == _SCHEDULER:
            return False
        if self._sent.login is None:
            return None
        if user.lower() == self._sent.login.lower():
            return True
        return False if "@" in user and "@" in self._sent.login else None  # a login, or a name for people

    def _reaches_back(self, rows: Sequence[Mapping[str, Any]], listed: Sequence[int]) -> bool:
        """Say whether a page is in the order of ids, the newest first, and has come to runs of before the call."""
        if len(listed) != len(rows) or not listed or list(listed) != sorted(self._listed, reverse=True)[-len(listed) :]:
            return False
        if self._knows_before:
            return self._before is not None and listed[-1] <= self._before
        return self._surely_before(rows[-1])


def _named_values(value: Any) -> dict[str, str] | None:
    """Return parameters as a record may show them: a map, or a list of names and values, (c); masked by ``*`` or not.

    A value that is neither text nor a number cannot be compared with the text that was sent, so it counts as masked.
    """
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        value = {item.get("name"): item.get("value") for item in value}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return None
    return {
        name: str(item) if isinstance(item, str | int) and not isinstance(item, bool) else "*"
        for name, item in value.items()
    }


def _ended_badly(run: RemoteRun) -> bool:
    return run.state.is_terminal and not run.state.is_good
