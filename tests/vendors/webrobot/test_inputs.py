"""What users may give to WebRobot's operators and hook: refused in words before anything is sent, or accepted."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.hooks.webrobot.inputs import shown
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator, WebRobotStartTaskOperator
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from airflow_provider_etlapis.sensors.webrobot import WebRobotExecutionSensor, WebRobotJobSensor, WebRobotTaskSensor
from tests.vendors.webrobot.stage import JOB, TASK, Ask, ask, clock, hook, sandbox, sent

HUGE = 10**5000
IDS = {"project_id": "98", "job_id": "210"}

WRONG_IDS = [
    pytest.param(HUGE, id="5000 digits"),
    pytest.param("9" * 5000, id="5000 digits as text"),
    pytest.param("\ud800", id="half a character"),
    pytest.param("21\x000", id="NUL"),
    pytest.param("21\n0", id="line break"),
    pytest.param("\u200b", id="invisible"),
    pytest.param("..", id="step up"),
    pytest.param(".", id="step"),
    pytest.param("98/jobs", id="slash"),
    pytest.param(" ", id="blank"),
    pytest.param(None, id="none"),
    pytest.param(True, id="true"),
    pytest.param(2.5, id="float"),
    pytest.param(["210"], id="list"),
    pytest.param(b"210", id="bytes"),
]


class LazyList(Sequence[Any]):
    """A sequence that is no list, as what a mapped task's ``.output`` resolves to."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


# -- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_what_is_no_id_is_refused_in_words_and_bounded(ask: Ask, sandbox: WebRobotSandbox, wrong: Any) -> None:
    calls: list[tuple[str, str, tuple[Any, ...]]] = [
        ("get_project", "project_id", (wrong,)),
        ("get_job", "job_id", ("98", wrong)),
        ("execute_job", "job_id", ("98", wrong)),
        ("get_task", "task_id", (*JOB, wrong)),
        ("start_task", "task_id", (*JOB, wrong)),
        ("get_execution_status", "execution_id", (*JOB, wrong)),
        ("get_record", "table", (wrong, "1")),
        ("get_record", "record_id", ("shops", wrong)),
    ]
    for name, parameter, arguments in calls:
        with pytest.raises(InvalidInputError, match=f"{parameter} must be an id of WebRobot") as refusal:
            ask(name, *arguments)
        assert len(str(refusal.value)) < 250
        str(refusal.value).encode()  # a log can write it

    assert sandbox.ledger.requests == []


@pytest.mark.parametrize("wrong", [HUGE, "\ud800", "a\x00b", ".."], ids=["digits", "half", "NUL", "step"])
def test_a_run_or_a_job_that_is_named_wrongly_is_refused_in_words(sandbox: WebRobotSandbox, wrong: Any) -> None:
    with WebRobotHook() as hook:
        for refused in (
            lambda: hook.ref_of(wrong),
            lambda: hook.ref_of(f"98/210/{wrong}" if isinstance(wrong, str) else wrong),
            lambda: hook.runs_of({"project_id": "98", "job_id": wrong}, 0.0),
            lambda: hook.recent_runs(5, {"project_id": wrong}),
            lambda: hook.recent_runs(5, {"project_id": "98", "colour": wrong}),
        ):
            with pytest.raises(InvalidInputError) as refusal:
                refused()
            assert len(str(refusal.value)) < 250
            str(refusal.value).encode()
    assert sandbox.ledger.requests == []


def test_ids_come_as_numbers_under_native_rendering() -> None:
    job = WebRobotExecuteJobOperator(task_id="run", project_id=98, job_id=210)  # type: ignore[arg-type]  # as rendered
    task = WebRobotStartTaskOperator(task_id="run", project_id=98, job_id=210, webrobot_task_id=1)  # type: ignore[arg-type]
    execution = WebRobotExecutionSensor(task_id="s", project_id=98, job_id=210, execution_id=872)  # type: ignore[arg-type]
    since = datetime(2026, 11, 22, tzinfo=UTC)
    task_done = WebRobotTaskSensor(task_id="s", project_id=98, job_id=210, webrobot_task_id=1, since=since)  # type: ignore[arg-type]
    job_done = WebRobotJobSensor(task_id="s", project_id=98, job_id=210, since=since)  # type: ignore[arg-type]

    assert job.spec()["job_id"] == "210"
    assert task.spec() == {"project_id": "98", "job_id": "210", "task_id": "1"}
    assert execution.ref().run_id == "98/210/872"
    assert task_done.ref().run_id == "98/210/1"
    assert job_done.ref().since == since.timestamp()


# -- the body of an execute call ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arguments", "cloud_credential_ids", "body"])
@pytest.mark.parametrize("rendered", ["['--day', '1']", '{"limit": 100}', "{{ params.arguments }}", ""])
def test_a_template_that_rendered_to_text_is_refused_with_what_to_write_instead(name: str, rendered: str) -> None:
    operator = WebRobotExecuteJobOperator(task_id="run", **IDS, **{name: rendered})  # type: ignore[arg-type]

    with pytest.raises(InvalidInputError, match=rf"{name} must be .*\.output.*render_template_as_native_obj=True"):
        operator.spec()


def test_a_mapped_tasks_output_is_accepted_as_a_list_also_inside_the_body(ask: Ask, sandbox: WebRobotSandbox) -> None:
    operator = WebRobotExecuteJobOperator(
        task_id="run",
        **IDS,
        arguments=LazyList("--day", 7),
        cloud_credential_ids=LazyList("550e8400"),
        body={"parameters": MappingProxyType({"pages": LazyList(1, 2)}), "limits": (1, 2), 7: None},  # type: ignore[dict-item]
    )

    spec = operator.spec()
    ask("execute_job", **spec)

    assert json.loads(sent(sandbox).body) == {
        "arguments": ["--day", "7"],
        "cloudCredentialIds": ["550e8400"],
        "parameters": {"pages": [1, 2]},
        "limits": [1, 2],
        "7": None,
    }
    assert json.loads(json.dumps(spec)) == spec


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"limit": float("nan")}, r"body\['limit'\] must be plain JSON, not nan"),
        ({"a": [1, float("inf")]}, r"body\['a'\]\[1\] must be plain JSON, not inf"),
        ({"a": {1, 2}}, r"body\['a'\] must be plain JSON, not a set"),
        ({"when": datetime(2026, 11, 22)}, r"body\['when'\] must be plain JSON, not a datetime; write its .isoformat"),
        ({"a": b"bytes"}, r"body\['a'\] must be plain JSON, not a bytes"),
        ({"a": HUGE}, "a number of more than 300 digits"),
        ({"a": object()}, "not a object"),
        ({None: 1}, "the keys of body must be texts, not None"),
        ({1: "a", "1": "b"}, "body must not have one key twice"),
        ({"a": nested(100)}, "nested deeper than 50 levels"),
        (["no object"], r"body must be a JSON object \(a dict\), not a list"),
        (7, r"body must be a JSON object \(a dict\), not 7"),
    ],
)
def test_a_body_that_json_has_no_spelling_for_is_refused_where_it_is_given(
    ask: Ask, sandbox: WebRobotSandbox, body: Any, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ask("execute_job", *JOB, body=body)
    with pytest.raises(InvalidInputError, match=words):
        WebRobotExecuteJobOperator(task_id="run", **IDS, body=body).spec()
    with pytest.raises(InvalidInputError, match=words.replace("body", "record")):
        ask("insert_record", "shops", body)
    with pytest.raises(InvalidInputError, match=words.replace("body", "record")):
        ask("update_record", "shops", "1", body)

    assert sandbox.ledger.requests == []


def test_a_body_that_holds_itself_is_refused(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    body: dict[str, Any] = {}
    body["again"] = body

    with pytest.raises(InvalidInputError, match="nested deeper than 50 levels"):
        hook.execute_job(*JOB, body=body)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--day 1", "arguments must be a list of texts, not the text '--day 1'"),
        ({"day": 1}, "arguments must be a list of texts, not a dict"),
        ({"--day"}, "arguments must be a list of texts, not a set"),
        (7, "arguments must be a list of texts, not 7"),
        ([float("nan")], "arguments must hold texts only, not nan"),
        ([HUGE], "arguments must hold texts only, not a number of more than 300 digits"),
        ([datetime(2026, 11, 22)], "arguments must hold texts only, not datetime"),
        ([["nested"]], "arguments must hold texts only"),
        ([None], "arguments must hold texts only, not None"),
        ([True], "arguments must hold texts only, not True"),
    ],
)
def test_arguments_that_are_no_list_of_texts_are_refused_by_the_hook_as_by_the_operator(
    ask: Ask, sandbox: WebRobotSandbox, arguments: Any, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ask("execute_job", *JOB, arguments)
    with pytest.raises(InvalidInputError, match=words):
        WebRobotExecuteJobOperator(task_id="run", **IDS, arguments=arguments).spec()

    assert sandbox.ledger.requests == []


def test_a_refused_value_is_shown_bounded_and_a_container_not_at_all() -> None:
    """It may hold secrets."""
    operator = WebRobotExecuteJobOperator(task_id="run", **IDS, arguments="x" * 10_000)
    with pytest.raises(InvalidInputError) as refusal:
        operator.spec()
    assert len(str(refusal.value)) < 400

    with pytest.raises(InvalidInputError) as refusal:
        WebRobotExecuteJobOperator(task_id="run", **IDS, arguments={"token": "sk-1234"}).spec()  # type: ignore[arg-type]
    assert "sk-1234" not in str(refusal.value)


def test_whatever_is_given_can_be_shown() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    for value in (HUGE, "\ud800", Rude(), [HUGE], "x" * 10**6, b"\xff" * 10**6):
        assert len(shown(value)) < 130
        shown(value).encode()


# -- the rest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_html", ("https://[::1/x",)),
        ("get_html", ("https://\ud800.example.com",)),
        ("get_html", (7,)),
        ("get_html", (None,)),
        ("get_job_metrics", (*JOB, 7)),
        ("get_job_metrics", (*JOB, HUGE)),
        ("get_execution_logs", (*JOB, "spark-1", "driver", "200")),
        ("get_execution_logs", (*JOB, "spark-1", "driver", HUGE)),
        ("get_execution_logs", (*JOB, "spark-1", HUGE)),
        ("find_all", ("shops", "50")),
        ("find_all", ("shops", 50, -1)),
        ("find_all", ("shops", None)),
    ],
)
def test_a_value_of_another_kind_is_refused_in_words(
    ask: Ask, sandbox: WebRobotSandbox, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        ask(name, *arguments)

    assert len(str(refusal.value)) < 300
    assert sandbox.ledger.requests == []
