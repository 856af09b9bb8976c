"""An endpoint is written once and called in two colours; its name, signature and documentation stay its own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.endpoints import BoundEndpoint, Program, endpoint
from airflow_provider_etlapis.hooks.errors import task_error, trouble_of
from airflow_provider_etlapis.runs.model import TroubleKind
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.call import Call, json_object
from airflow_provider_etlapis.wire.exchange import Pause


class Hook(CeleryDirectorHook):
    """A hook with endpoints of every make."""

    @endpoint
    def one(self, number: int, *, word: str = "x") -> Call[dict[str, Any]]:
        """Read one thing."""
        return Call("GET", "api/ping", json_object, query={"n": number, "w": word})

    @endpoint
    def several(self) -> Program[list[str]]:
        """Read several things, with a rest in between."""
        first = yield from self.one.plan(1)
        yield Pause(0.01)
        second = yield Call("GET", "api/ping", json_object)
        return [first["message"], second["message"]]

    @endpoint
    def forgiving(self) -> Program[str]:
        """Handle an error of a call."""
        try:
            yield Call("GET", "api/nothing", json_object)
        except exceptions.NotFoundError as error:
            return f"handled: {type(error).__name__}"
        return "found"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox() as running:
        monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps(running.connection(extra={"retries": 0})))
        yield running


async def test_both_colours_do_the_same(sandbox: CeleryDirectorSandbox) -> None:
    hook = Hook("here")

    assert hook.one(7, word="y") == await hook.one.aio(7, word="y") == {"message": "pong"}
    assert hook.several() == await hook.several.aio() == ["pong", "pong"]
    assert hook.forgiving() == await hook.forgiving.aio() == "handled: NotFoundError"

    asked = [(record.method, record.path, record.query) for record in sandbox.ledger.requests]
    assert asked[0] == asked[1] == ("GET", "/api/ping", (("n", "7"), ("w", "y")))
    assert asked[2:4] == asked[4:6]
    hook.close()
    await hook.aclose()


def test_an_endpoint_keeps_name_signature_and_documentation() -> None:
    hook = Hook("here")

    assert isinstance(hook.one, BoundEndpoint)
    for seen in (Hook.one, hook.one):
        assert seen.__name__ == "one"
        assert seen.__doc__ == "Read one thing."
    assert list(inspect.signature(hook.one).parameters)[-2:] == ["number", "word"]
    assert inspect.getdoc(Hook.iter_workflows) is not None


def test_wrong_arguments_fail_before_anything_is_sent(sandbox: CeleryDirectorSandbox) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        Hook("here").one(1, nonsense=True)  # type: ignore[call-arg]

    assert sandbox.ledger.requests == []


def test_a_hook_whose_endpoints_are_missing_cannot_be_made() -> None:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook

    assert "start_run" in {
        name for name in dir(RemoteRunHook) if getattr(getattr(RemoteRunHook, name), "__isabstractmethod__", False)
    }


async def test_errors_are_alike_in_both_colours(sandbox: CeleryDirectorSandbox) -> None:
    hook = Hook("here")
    sandbox.inject(Fault("ping", status=502, times=None))
    with pytest.raises(exceptions.VendorUnavailableError) as here:
        hook.one(1)
    with pytest.raises(exceptions.VendorUnavailableError) as there:
        await hook.one.aio(1)

    assert str(here.value) == str(there.value)
    assert (here.value.status, here.value.may_have_acted) == (there.value.status, there.value.may_have_acted)
    hook.close()
    await hook.aclose()


@pytest.mark.parametrize(
    ("wire", "task", "kind", "permanent"),
    [
        (errors.UnauthorizedError, exceptions.CredentialsRejectedError, TroubleKind.CREDENTIAL, True),
        (errors.ForbiddenError, exceptions.PermissionDeniedError, TroubleKind.CREDENTIAL, True),
        (errors.NotFoundError, exceptions.NotFoundError, TroubleKind.MISSING, True),
        (errors.ConflictError, exceptions.ConflictError, TroubleKind.REFUSED, True),
        (errors.BadRequestError, exceptions.RequestRefusedError, TroubleKind.REFUSED, True),
        (errors.RedirectedError, exceptions.ConnectionSettingsError, TroubleKind.REFUSED, True),
        (errors.RateLimitedError, exceptions.RateLimitedError, TroubleKind.PASSING, False),
        (errors.ServerFaultError, exceptions.VendorUnavailableError, TroubleKind.PASSING, False),
        (errors.UnreachableError, exceptions.VendorUnavailableError, TroubleKind.PASSING, False),
        (errors.MalformedAnswerError, exceptions.VendorUnavailableError, TroubleKind.PASSING, False),
    ],
)
def test_an_error_of_the_wire_becomes_one_of_the_task_and_a_meaning_for_the_wait(
    wire: type[errors.WireError], task: type[exceptions.EtlApiError], kind: TroubleKind, permanent: bool
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    error = task_error(wire("what happened", status=418, by_vendor=True), "my_conn")

    assert type(error) is task
    assert "what happened" in str(error)
    assert isinstance(error, AirflowFailException) is permanent
    assert error.retry_helps is not permanent
    assert trouble_of(error).kind is kind


@pytest.mark.parametrize("wire", [errors.NotFoundError, errors.ConflictError, errors.BadRequestError])
def test_what_only_the_vendor_can_say_is_no_knowledge_in_another_shape(wire: type[errors.WireError]) -> None:
    error = task_error(wire("404 page not found", status=404), "my_conn")

    assert type(error) is exceptions.UnrecognizedAnswerError
    assert error.retry_helps
    assert error.may_have_acted
    assert "'my_conn'" in str(error)
    assert trouble_of(error).kind is TroubleKind.UNRECOGNIZED


@pytest.mark.parametrize("wire", [errors.UnauthorizedError, errors.ForbiddenError, errors.NotFoundError])
def test_what_a_person_can_mend_names_the_connection(wire: type[errors.WireError]) -> None:
    assert "'my_conn'" in str(task_error(wire("no"), "my_conn"))


@pytest.mark.parametrize(
    ("error", "acted"),
    [
        (errors.UnreachableError("refused", sent=False), False),
        (errors.UnreachableError("reset", sent=True), True),
        (errors.ServerFaultError("502", status=502), True),
        (errors.RateLimitedError("429", status=429, retry_after=7.0), False),
        (errors.MalformedAnswerError("html", status=200), True),
    ],
)
def test_whether_the_vendor_may_have_acted_survives(error: errors.WireError, acted: bool) -> None:
    told = task_error(error, "c")

    assert isinstance(told, exceptions.VendorUnavailableError)
    assert told.may_have_acted is acted
    assert (told.status, told.retry_after) == (error.status, error.retry_after)
