"""What a DAG's author may write as a template: every input of a vendor's tasks, and the connection id."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_etlapis.operators.action import VendorActionOperator
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.runs import model
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sensors.base import RemoteRunSensor
from tests.contract.conftest import ELSEWHERE, SHORT, Stage
from tests.contract.row import Row

_COMMON = {*inspect.signature(RemoteRunOperator.__init__).parameters}
_COMMON |= {*inspect.signature(RemoteRunSensor.__init__).parameters}


@pytest.fixture
def tasks(row: Row, sandbox: VendorSandbox) -> list[BaseOperator]:
    """An operator and a sensor of the vendor."""
    stage = Stage(row, sandbox, False)
    return [stage.operator()(), row.sensor(stage.somebody_elses_run(SHORT), task_id="sense")]


def for_users(task: BaseOperator) -> Iterator[type[BaseOperator]]:
    """Yield a task's class, and all others that users find in its module."""
    yield type(task)
    module = import_module(type(task).__module__)
    for name, found in vars(module).items():
        is_task = isinstance(found, type) and issubclass(found, BaseOperator) and issubclass(found, HookMixin)
        if is_task and found.__module__ == module.__name__ and not name.startswith("_"):
            yield found


def inputs_of(task: type[BaseOperator]) -> set[str]:
    """Return the parameters of a vendor's own task: not those that all tasks have, nor policies, which are words."""
    found: set[str] = set()
    for kind in task.__mro__:
        if kind in (RemoteRunOperator, RemoteRunSensor, VendorActionOperator, BaseOperator):
            break
        if "__init__" in vars(kind):
            # Words that are imported for types only are those of the run model.
            named = inspect.signature(kind.__init__, eval_str=True, locals=vars(model)).parameters.values()
            found |= {each.name for each in named if each.kind is each.KEYWORD_ONLY and not _is_policy(each.annotation)}
    return found - _COMMON


def _is_policy(annotation: Any) -> bool:
    return annotation is bool or typing.get_origin(annotation) is Literal


def test_each_input_and_the_connection_id_may_be_a_template(tasks: list[BaseOperator]) -> None:
    for task in (found for example in tasks for found in for_users(example)):
        wanted = {task.conn_id_field, *inputs_of(task)}  # type: ignore[attr-defined]  # a task of ours
        assert len(wanted) > 1
        assert set(task.template_fields) >= wanted, task.__name__


def test_each_template_field_is_rendered(tasks: list[BaseOperator]) -> None:
    for task in tasks:
        fields = task.template_fields
        assert fields
        for field in fields:
            setattr(task, field, f"{{{{ values.{field} }}}}")
        task.render_template_fields({"values": {field: f"rendered {field}" for field in fields}})  # type: ignore[typeddict-item]  # not Airflow's own

        assert [getattr(task, field) for field in fields] == [f"rendered {field}" for field in fields]


def test_a_rendered_connection_id_is_the_one_that_is_asked(
    row: Row, sandbox: VendorSandbox, elsewhere: VendorSandbox
) -> None:
    stage = Stage(row, sandbox, False)
    operator = stage.operator(**{stage.conn_id_field: "{{ where }}"})()
    operator.render_template_fields({"where": ELSEWHERE})

    operator.hook.check()
    assert len(elsewhere.ledger.requests) > 0
    assert sandbox.ledger.requests == []
