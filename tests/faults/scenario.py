"""Draws a scenario from a seed: one task of one vendor, its policies, and what goes wrong in each of its tries."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Outcome

Kind = Literal[
    "plain",
    # the worker's process is gone
    "die_before_intent",
    "die_after_intent",
    "die_after_start",
    "die_before_note",
    "die_waiting",
    # a person
    "person_failed",
    "person_success",
    "person_clear",
    "clear_race",
    # time and patience
    "deadline",
    "execution_deadline",
    "give_up",
    "gone",
    "refused",
    # the triggerer
    "restart",
    "reassign",
    "reassign_late",
    "no_triggerer",
    "trigger_crash",
]
PERSON: frozenset[str] = frozenset({"person_failed", "person_success", "person_clear", "clear_race"})
MOVES: frozenset[str] = frozenset({"restart", "reassign", "reassign_late"})
OF_A_TRIGGER: frozenset[str] = frozenset({*MOVES, "clear_race", "no_triggerer", "trigger_crash"})
LATE: frozenset[str] = frozenset({"deadline", "execution_deadline", "no_triggerer"})
OUTAGES: frozenset[str] = frozenset({"give_up", "gone", "refused"})

Moment = Literal["start", "obtain", "look", "cancel", "take_up"]
Store = Literal["ok", "broken", "unreadable", "unwritable", "away"]
Inputs = Literal["same", "other"]
User = Literal["same", "another"]


@dataclass(frozen=True)
class Rival:
    """Somebody else's run of the same target, begun at the very moment of the task's start request.

    :param inputs: whether it was started with the same inputs.
    :param user: whether the task's own credential has started it, as another task of the same team does.
    """

    inputs: Inputs
    user: User

    def __str__(self) -> str:
        return f"a rival with {self.inputs} inputs by the {self.user} user"


@dataclass(frozen=True)
class Struck:
    """A fault of the vendor or of the way to it, and when it is let loose.

    :param moment: ``start`` hits the start call; ``obtain`` any request up to the moment at which the run is known;
        ``look`` any request of the wait; ``cancel`` the cancel call; ``take_up`` any request after a trigger has
        fired.
    """

    moment: Moment
    fault: Fault

    def __str__(self) -> str:
        plain = Fault(self.fault.operation, self.fault.kind, status=self.fault.status, seconds=self.fault.seconds)
        told = {
            name: value
            for name in ("times", "skip", "seconds", "status", "body", "retry_after", "applied")
            if (value := getattr(self.fault, name)) != getattr(plain, name) or name in ("times", "status")
        }
        return f"{self.moment}: {self.fault.kind} {told}"


@dataclass(frozen=True)
class Act:
    """What happens in one try.

    :param life: how a run ends that is started in this try.
    :param looks: requests of the wait before it happens, or before a plain run ends.
    :param store: how the task's state store fares in this try; ``away``: its first calls fail.
    :param rival: another run that begins at the moment of the start request.
    :param ends_between: the run comes to its end after this try, before the next one.
    """

    kind: Kind = "plain"
    life: Outcome = "success"
    looks: int = 1
    struck: tuple[Struck, ...] = ()
    store: Store = "ok"
    ends_between: bool = False
    rival: Rival | None = None

    def __str__(self) -> str:
        struck = "; ".join(map(str, self.struck)) or "nothing struck"
        store = "" if self.store == "ok" else f", store {self.store}"
        between = ", ends between" if self.ends_between else ""
        rival = "" if self.rival is None else f", {self.rival}"
        return f"{self.kind} after {self.looks} looks at a {self.life} ({struck}{store}{between}{rival})"


@dataclass(frozen=True)
class Scenario:
    """One task instance and all that happens to it. The name alone makes it again."""

    seed: str
    vendor: str
    number: int
    deferrable: bool
    acts: tuple[Act, ...]
    on_lost_start: Literal["fail", "adopt", "restart"] = "fail"
    cancel_on_kill: bool = True
    cancel_on_timeout: bool = True
    durable: bool = True
    keeps_state: bool = True
    waits: bool = True
    retries: int = 3
    wire_retries: int = 2
    map_index: int = -1
    clock_ahead: float = 0.0
    arguments: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        mode = "deferrable" if self.deferrable else "sync"
        policies = {name: getattr(self, name) for name in _POLICIES}
        return f"{self.vendor} {mode} {policies}\n    " + "\n    ".join(map(str, self.acts))

    @property
    def command(self) -> str:
        """What plays this scenario again."""
        return f"uv run python -m tests.faults --seed {self.seed} --vendor {self.vendor} --only {self.number}"


_POLICIES = (
    "on_lost_start",
    "cancel_on_kill",
    "cancel_on_timeout",
    "durable",
    "keeps_state",
    "waits",
    "retries",
    "wire_retries",
    "map_index",
    "clock_ahead",
    "arguments",
)


def draw(seed: str, vendor: str, number: int) -> Scenario:
    """Return the scenario of a seed, a vendor and a number: the same on every machine."""
    dice = random.Random(f"{seed}/{vendor}/{number}")
    deferrable = dice.random() < 0.6
    return Scenario(
        seed=seed,
        vendor=vendor,
        number=number,
        deferrable=deferrable,
        acts=tuple(_act(dice, deferrable=deferrable) for _ in range(dice.choice((1, 1, 2, 2, 3)))),
        on_lost_start=dice.choices(("fail", "adopt", "restart"), (3, 1, 1))[0],
        cancel_on_kill=dice.random() < 0.8,
        cancel_on_timeout=dice.random() < 0.8,
        durable=dice.random() < 0.94,
        keeps_state=dice.random() < 0.85,
        waits=dice.random() < 0.96,
        retries=dice.choice((0, 1, 3, 3)),
        wire_retries=dice.choice((0, 2)),
        map_index=dice.choice((-1, -1, 3)),
        clock_ahead=dice.choices((0.0, 120.0, -120.0), (8, 1, 1))[0],
        arguments={
            "log_remote": dice.choice(("on_failure", True, False)),
            "follow_progress": dice.random() < 0.2,
        },
    )


def _act(dice: random.Random, *, deferrable: bool) -> Act:
    kinds = [kind for kind in get_args(Kind) if deferrable or kind not in OF_A_TRIGGER]
    kind: Kind = dice.choices(kinds, [5 if kind == "plain" else 1 for kind in kinds])[0]
    struck: list[Struck] = []
    if kind in OUTAGES:
        struck.append(Struck("look", _outage(dice, kind)))
    elif dice.random() < 0.4:
        struck.append(Struck("look", dice.choice((_blip, _odd_answer))(dice)))
    if dice.random() < 0.25:
        struck.append(Struck("start", dice.choice((_start_fault, _odd_start))(dice)))
    elif dice.random() < 0.15:
        struck.append(Struck("obtain", dice.choice((_request_fault, _odd_answer))(dice)))
    if (kind in PERSON or kind in LATE) and dice.random() < 0.3:
        struck.append(Struck("cancel", dice.choice((_cancel_fault, _refused_stop))(dice)))
    if deferrable and dice.random() < 0.15:
        struck.append(Struck("take_up", dice.choice((_request_fault, _odd_answer))(dice)))
    return Act(
        kind=kind,
        life=dice.choices(("success", "error", "canceled"), (7, 3, 1))[0],
        looks=dice.choice((0, 1, 1, 2, 4)),
        struck=tuple(struck),
        store=dice.choices(("ok", "broken", "unreadable", "unwritable", "away"), (37, 1, 1, 1, 3))[0],
        ends_between=dice.random() < 0.3,
        rival=_rival(dice) if dice.random() < 0.15 else None,
    )


def _rival(dice: random.Random) -> Rival:
    inputs: Inputs = dice.choice(("same", "other"))
    user: User = dice.choice(("same", "another"))
    return Rival(inputs, user)


def _one(dice: random.Random, operation: str, faults: Sequence[dict[str, object]], times: int | None) -> Fault:
    return Fault(operation, times=times, **dice.choice(faults))  # type: ignore[arg-type]


_SILENT: tuple[dict[str, object], ...] = (
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 502},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 503, "retry_after": 0.02},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "half_body"},
    {"kind": "html"},
    {"kind": "html", "status": 502},
    {"kind": "empty"},
    {"kind": "status", "status": 200, "body": "{}"},
    {"kind": "status", "status": 200, "body": "[]"},
)
"""No answer, or none that says anything."""

_LIMITED: dict[str, object] = {"kind": "status", "status": 429, "retry_after": 0.03}


def _blip(dice: random.Random) -> Fault:
    """What a wait must outlive."""
    harmless = (
        *_SILENT,
        _LIMITED,
        {"kind": "delay", "seconds": 0.03},
        {"kind": "unknown_status"},
        {"kind": "status", "status": 401},
    )
    chosen = dice.choice(harmless)
    # A second refusal in a row, before the run was ever seen, is taken for a credential that is wrong.
    times = 1 if chosen.get("status") == 401 else dice.choice((1, 2, 3))
    return Fault("*", times=times, skip=dice.choice((0, 0, 1, 2)), **chosen)  # type: ignore[arg-type]


def _outage(dice: random.Random, kind: str) -> Fault:
    if kind == "gone":
        return Fault("*", "status", status=404, times=None, body='{"error": "no such thing"}')
    if kind == "refused":
        return Fault("*", "status", status=dice.choice((401, 403, 400)), times=None)
    return _one(dice, "*", (*_SILENT, _LIMITED), None)


def _start_fault(dice: random.Random) -> Fault:
    faults: list[dict[str, object]] = [*_SILENT, _LIMITED]
    faults += [{**fault, "applied": True} for fault in _SILENT if fault["kind"] in ("status", "html", "empty")]
    faults += [{"kind": "status", "status": status} for status in (400, 401, 403)]
    faults += [{"kind": "delay", "seconds": 0.03}, {"kind": "unknown_status"}]
    return _one(dice, "start", faults, dice.choice((1, 1, 2)))


def _request_fault(dice: random.Random) -> Fault:
    faults: list[dict[str, object]] = [*_SILENT, _LIMITED]
    faults += [{"kind": "status", "status": status} for status in (400, 401, 403)]
    return _one(dice, "*", faults, dice.choice((1, 2, 4)))


def _cancel_fault(dice: random.Random) -> Fault:
    # An empty answer with a good status is a yes to some vendors.
    faults = [fault for fault in _SILENT if fault.get("status") != 200 and fault["kind"] != "empty"]
    return _one(dice, "cancel", faults, dice.choice((1, None)))


BETWEEN = (301, 302, 307, 400, 401, 403, 404, 405, 406, 408, 409, 413, 421, 423, 425, 460, 499, 500, 502, 503, 504)
"""Statuses that a proxy, a load balancer or a sign-on page makes up."""


def _of_a_proxy(dice: random.Random) -> dict[str, object]:
    """Return an answer that is not the vendor's."""
    status = dice.choice(BETWEEN)
    headers = {"Location": "https://sign-on.example.com/"} if 300 <= status < 400 else {}
    form = dice.choice(("text", "html", "empty"))
    if form == "text":
        return {"kind": "status", "status": status, "body": f"default backend - {status}", "headers": headers}
    return {"kind": form, "status": status, "headers": headers}


def _odd_answer(dice: random.Random) -> Fault:
    """One answer of something in between, at any request."""
    return Fault("*", times=1, skip=dice.choice((0, 0, 1, 2)), **_of_a_proxy(dice))  # type: ignore[arg-type]


def _odd_start(dice: random.Random) -> Fault:
    """A start that something in between answers, passed on or not, or that takes effect after its client has gone."""
    if dice.random() < 0.25:
        return Fault("start", "apply_late", seconds=dice.choice((0.005, 0.015)), times=1)
    return Fault("start", times=1, applied=dice.random() < 0.6, **_of_a_proxy(dice))  # type: ignore[arg-type]


def _refused_stop(dice: random.Random) -> Fault:
    """A cancel that is not done, whatever its status says."""
    faults: tuple[dict[str, object], ...] = (
        {"kind": "status", "status": 200, "body": '{"success": false, "error": "not now"}'},
        {"kind": "html", "status": 200},
        {"kind": "status", "status": 403},
        {"kind": "status", "status": 404, "body": "default backend - 404"},
        {"kind": "status", "status": 408, "body": ""},
    )
    return _one(dice, "cancel", faults, dice.choice((1, None)))
