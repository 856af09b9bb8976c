"""How a run of Etlworks is stopped: by a call that the vendor has and does not document, so the connection names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.wire.call import NO_BODY, Call, Response
from airflow_provider_etlapis.wire.errors import MalformedAnswerError
from airflow_provider_etlapis.wire.exchange import server_words

CANCEL_NOTE = (
    "Etlworks documents no call that stops a run; the stop_endpoint setting of the connection switches cancelling on"
)
STOP_NOTE = "Etlworks stops a run at its own pace, which may take minutes, and may fail to stop it"

_SHAPE = re.compile(r"(?:(POST|PUT|GET|DELETE)\s+)?(/\S+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\{(.*?)\}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer to the call that stops nothing.

    :param what: in our words.
    :param text: in the server's, not redacted.
    """

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class StopEndpoint:
    """The call that stops a run.

    :param method: HTTP method.
    :param path: path as the vendor writes it, below ``/rest``, with ``{flow_id}`` and ``{audit_id}``.
    :param query: query parameters, with the same variables.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, values: ConnectionValues) -> StopEndpoint:
        """Read the setting of a connection, such as ``POST /v1/flows/{flow_id}/stop``; the method may be left out.

        :raises ConnectionSettingsError: if it is none, or names no run.
        """
        text = values.extras["stop_endpoint"] or ""
        found = _SHAPE.fullmatch(text.strip())
        variables = set(_VARIABLE.findall(text))
        if found is None or not variables or variables - {"flow_id", "audit_id"}:
            raise values.fault(
                "stop_endpoint must be a method and a path with {flow_id}, {audit_id} or both, such as "
                f"POST /v1/flows/{{flow_id}}/stop, not {text!r}"
            )
        parts = urlsplit(found.group(2))
        path = parts.path.strip("/").removeprefix("rest/")
        return cls((found.group(1) or "POST").upper(), f"rest/{path}", tuple(parse_qsl(parts.query)))

    @property
    def repeatable(self) -> str | Literal[False]:
        """Whether the call may be sent twice: only where it names the run, else the second may stop the next one."""
        names_run = "{audit_id}" in self.path or any("{audit_id}" in value for _, value in self.query)
        return "to stop a run that is stopped changes nothing" if names_run else False

    def plan(self, ref: RunRef) -> Program[Refusal | None]:
        """Ask to stop a run, and return why that was not accepted, ``None`` if it was.

        With ``{flow_id}`` alone, the vendor stops the flow's latest run, (b).
        """

        def filled(text: str) -> str:
            return _VARIABLE.sub(lambda found: ref.ids[found.group(1)], text)

        call: Call[Refusal | None] = Call(
            self.method,
            filled(self.path),
            refusal_in,
            query={name: filled(value) for name, value in self.query},
            json={} if self.method in {"POST", "PUT"} else NO_BODY,
            repeatable=self.repeatable,
        )
        refusal: Refusal | None = yield call
        return refusal


def refusal_in(response: Response) -> Refusal | None:
    """Return why a stop was not accepted, by an answer with a good status.

    Which answer accepts it is not documented, (c): an empty body does, and JSON that does not say ``success: false``.
    Anything else, such as a page, comes from something in between.
    """
    if not response.body.strip():
        return None
    try:
        value = response.json()
    except MalformedAnswerError as error:
        return Refusal(f"The answer is not Etlworks' own ({error})", response.text[:2000])
    is_refused = value is False or (isinstance(value, dict) and value.get("success") in (False, "false"))
    return Refusal("Etlworks answered success: false", server_words(response)) if is_refused else None
