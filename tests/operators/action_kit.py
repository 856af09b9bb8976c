"""An action of two steps for the tests of its base: the first must not be done twice, the second may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.operators.action import ActionStep, ActionSteps, Finding, VendorActionOperator
from airflow_provider_etlapis.operators.action_records import StepRecord
from airflow_provider_etlapis.runs.evidence import Evidence
from tests.support.fake_vendor import CONN_ID, FakeHook
from tests.support.rehearsal import Rehearsal

Answer = Any


@dataclass
class World:
    """What the vendor answers to the two steps of the action below, and what it was asked."""

    make: list[Answer] = field(default_factory=list)
    name: list[Answer] = field(default_factory=list)
    findings: list[Finding[str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    records: list[StepRecord] = field(default_factory=list)
    can_look: bool = True

    def answer(self, step: str) -> str:
        self.asked.append(step)
        answers = self.make if step == "make" else self.name
        answer = answers.pop(0) if answers else f"{step} {self.asked.count(step)}"
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    def look(self, record: StepRecord) -> Finding[str]:
        self.records.append(record)
        return self.findings.pop(0) if len(self.findings) > 1 else self.findings[0]


class TwoSteps(VendorActionOperator):
    """Makes something, which must not be done twice, and names it, which may."""

    conn_id_field = "fake_conn_id"

    def __init__(self, *, world: World, kind: str = "plain", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fake_conn_id = CONN_ID
        self.world = world
        self.kind = kind

    @classmethod
    def hook_class(cls) -> type[FakeHook]:
        return FakeHook

    def act(self, steps: ActionSteps) -> dict[str, str]:
        world = self.world
        made = steps.do(
            ActionStep(
                key="make",
                doing="making a thing",
                act=lambda: world.answer("make"),
                done=lambda made: f"{made!r} was made",
                inputs={"kind": self.kind},
                before=lambda: {"seen": len(world.asked)},
                check_outcome=world.look if world.can_look else None,
                if_lost="Look for it.",
            )
        )
        named = steps.do(
            ActionStep(
                key="name",
                doing="naming it",
                act=lambda: world.answer("name"),
                done=lambda named: f"it was named {named!r}",
                is_repeatable=True,
            )
        )
        return {"made": made, "named": named}


def acting(world: World, *, retries: int = 3, **arguments: Any) -> Rehearsal:
    return Rehearsal(lambda: TwoSteps(task_id="act", world=world, retries=retries), **arguments)


def lost(seconds: float = 0.0) -> VendorUnavailableError:
    error = VendorUnavailableError("no answer", may_have_acted=True)
    error.acts_for = seconds
    return error


def unsent() -> VendorUnavailableError:
    return VendorUnavailableError("connection refused", may_have_acted=False)


FOUND = Finding(Evidence.FOUND, "it is there", "found")
ABSENT: Finding[str] = Finding(Evidence.ABSENT, "it is not there")
UNSURE: Finding[str] = Finding(Evidence.UNSURE, "something like it is there")
