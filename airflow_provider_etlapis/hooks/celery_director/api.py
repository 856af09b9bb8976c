"""Celery Director's HTTP API: its address, its credential and its endpoints, in the vendor's own words.

A "workflow" in the API is one run; the YAML entry that it was made from is a definition.
Source: the project's API page, and what 0.9.0 and 0.10.0 servers were seen to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.celery_director.answers import (
    Definition,
    Workflow,
    checked,
    is_own_error,
    workflow_of,
    workflow_with_id,
)
from airflow_provider_etlapis.hooks.celery_director.inputs import (
    comment_text,
    definition_part,
    payload_object,
    workflow_id_text,
)
from airflow_provider_etlapis.hooks.celery_director.lists import ListReading, ListWorth
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.wire.auth import Auth, BasicAuth, NoAuth
from airflow_provider_etlapis.wire.call import Call, Page, Response, json_array, json_object, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError
from airflow_provider_etlapis.wire.exchange import server_words

_SERVER_FAULT = frozenset({500})


class CeleryDirectorApi(RemoteRunHook):
    """The endpoints. Times in answers are ISO 8601, with an offset on PostgreSQL only."""

    def __init__(self, celery_director_conn_id: str) -> None:
        super().__init__(celery_director_conn_id)
        self.celery_director_conn_id = celery_director_conn_id
        self._worth = ListWorth()

    def address(self, values: ConnectionValues) -> str:
        """Return the server's address, above ``/api``."""
        return values.base_url(strip=("/api",))

    def auth(self, values: ConnectionValues) -> Auth:
        """Return HTTP Basic, or nothing where the connection holds no credential."""
        if bool(values.login) != bool(values.password):
            raise values.fault("fill in both user and password, or neither where authentication is off")
        return BasicAuth(values.login, values.password) if values.login else NoAuth()

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Say whether an error answer is Director's own: ``{"error": text}``, or its 401."""
        return is_own_error(response)

    @endpoint
    def ping(self) -> Call[dict[str, Any]]:
        """Return ``{"message": "pong"}``. Proves neither the credential nor the database, broker or workers."""
        return Call("GET", "api/ping", json_object)

    @endpoint
    def list_workflows(self, per_page: int = 1000, page: int = 1, with_payload: bool = True) -> Program[list[Workflow]]:
        """Return one page of runs, newest first; an empty list past the end.

        The server answers a page past the end as it answers a wrong address, so the first page is asked for as well
        then.

        :param per_page: runs on a page; the server sets no upper limit.
        :param page: page number from 1.
        :param with_payload: include each run's ``payload``.
        :raises InvalidInputError: for numbers below 1, which the server would answer in misleading ways.
        :raises NotFoundError: if there is no list at the connection's address.
        """
        rows = yield self._list(per_page, page, with_payload)
        if not rows and page > 1:
            yield self._list(1, 1, False)
        return cast("list[Workflow]", rows)

    @listing
    def iter_workflows(self, per_page: int = 1000, with_payload: bool = True) -> Call[Page[Workflow]]:
        """Yield all runs, newest first, page by page.

        Each run comes once, and none is left out: pages overlap by the runs of one second, which may change places
        between two requests. Runs that are started meanwhile may be missing. Where the server deletes old runs
        meanwhile (its retention), others may be missing as well.

        :param per_page: runs on a page; more are asked for where more than that began in one second.
        :param with_payload: include each run's ``payload``.
        """
        _check_page(per_page, 1)
        return self._page(ListReading(per_page), with_payload)

    def _list(self, per_page: int, page: int, with_payload: bool) -> Call[list[Workflow]]:
        _check_page(per_page, page)

        def parse(response: Response) -> list[Workflow]:
            # The only end mark: any empty page but the first is a 404, also when the last one is exactly full.
            if response.status == 404:
                return []
            rows = [checked(row, response) for row in json_array(response)]
            if not with_payload:
                self._worth.note_rows(len(response.body), len(rows))
            return rows

        return Call(
            "GET",
            "api/workflows",
            parse,
            query={"per_page": per_page, "page": page, "with_payload": with_payload},
            accepted=frozenset({404}) if page > 1 else frozenset(),
            passing=_SERVER_FAULT,
        )

    def _page(self, reading: ListReading, with_payload: bool) -> Call[Page[Workflow]]:
        at = reading.page
        assert at is not None  # noqa: S101 whoever has read to the end asks for no page

        def page(rows: list[Workflow]) -> Page[Workflow]:
            new = reading.take(rows)
            return Page(new, self._page(reading, with_payload) if reading.page else None)

        return self._list(at.per_page, at.number, with_payload).map(page)

    @endpoint
    def get_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Return one run with its tasks and their results.

        :param workflow_id: UUID of the run.
        :raises NotFoundError: if the server does not know it.
        """
        return self._get(workflow_id_text(workflow_id), _SERVER_FAULT)

    def _get(self, run_id: str, passing: frozenset[int] = frozenset()) -> Call[Workflow]:
        parse_run = workflow_with_id(run_id)

        def parse(response: Response) -> Workflow:
            workflow = parse_run(response)
            self._worth.note_run(run_id, len(response.body))
            return workflow

        return Call("GET", f"api/workflows/{segment(run_id)}", parse, passing=passing)

    @endpoint
    def start_workflow(
        self, project: str, name: str, payload: Mapping[str, Any] | None = None, comment: str | None = None
    ) -> Call[Workflow]:
        """Start a run of a definition and return it, ``pending``.

        Never repeated by itself once it may have reached the server: a call that ends in a 500 or without an
        answer may have left a run behind.

        :param project: project of the definition.
        :param name: name of the definition.
        :param payload: JSON object handed to every task of the run.
        :param comment: text kept with the run, at most 255 characters; servers before 0.8.0 refuse one.
        :raises InvalidInputError: if one of these cannot be sent; it says what to give instead.
        :raises NotFoundError: if there is no such definition.
        :raises RequestRefusedError: if the payload does not fit the definition's schema; every fault is named.
        """
        body: dict[str, Any] = {
            "project": definition_part(project, "project"),
            "name": definition_part(name, "name"),
            "payload": payload_object(payload),
        }
        if comment is not None:
            body["comment"] = comment_text(comment)
        return Call("POST", "api/workflows", workflow_of, json=body, starts_run=True)

    def _comment_probe(self) -> Call[bool]:
        """Ask whether the server keeps comments (0.8.0 and later), by a start that it cannot carry out.

        The shape of the body is checked before the definition, and no definition has an empty name.
        """

        def parse(response: Response) -> bool:
            words = server_words(response)
            if "Workflow" in words or "comment" in words:
                return response.status == 404
            raise MalformedAnswerError("an answer that says nothing of comments", status=response.status)

        body = {"project": "", "name": "", "payload": {}, "comment": "does this server keep comments?"}
        return Call(
            "POST",
            "api/workflows",
            parse,
            json=body,
            accepted=frozenset({400, 404}),
            repeatable="it names no definition, so it can start nothing",
        )

    @endpoint
    def relaunch_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Start a new run with the payload and comment of another one, which stays as it is (and may still run).

        :param workflow_id: UUID of the run to take them from, in any status.
        :raises NotFoundError: if the run or its definition is not there.
        """
        path = f"api/workflows/{segment(workflow_id_text(workflow_id))}/relaunch"
        return Call("POST", path, workflow_of, starts_run=True)

    @endpoint
    def cancel_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Mark a run as canceled and ask the workers to stop it. Not on the project's API page; 0.7.0 and later.

        A finished run is marked as canceled too: :meth:`cancel_run` looks first. 0.10.0 does not stop the work.

        :param workflow_id: UUID of the run.
        """
        run_id = workflow_id_text(workflow_id)
        return Call("POST", f"api/workflows/{segment(run_id)}/cancel", workflow_with_id(run_id))

    @endpoint
    def list_definitions(self) -> Call[list[Definition]]:
        """Return all definitions, by full name, as the server read them when it started."""
        return Call("GET", "api/definitions", lambda response: cast("list[Definition]", json_array(response)))


def _check_page(per_page: int, page: int) -> None:
    if per_page < 1 or page < 1:
        raise InvalidInputError(f"per_page and page must be at least 1, not {per_page} and {page}")
