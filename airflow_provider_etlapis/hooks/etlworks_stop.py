"""How a run of Etlworks is stopped: by a call that the vendor has and does not document, so the connection names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.wire.call import NO_BODY, Call

CANCEL_NOTE = (
    "Etlworks documents no call that stops a run; the stop_endpoint setting of the connection switches cancelling on"
)
STOP_NOTE = "Etlworks stops a run at its own pace, which may take minutes, and may fail to stop it"

_SHAPE = re.compile(r"(?:(POST|PUT|GET|DELETE)\s+)?(/\S+)", re.IGNORECASE)


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
        variables = set(re.findall(r"\{(.*?)\}", text))
        if found is None or not variables or variables - {"flow_id", "audit_id"}:
            raise values.fault(
                "stop_endpoint must be a method and a path with {flow_id}, {audit_id} or both, such as "
                f"POST /v1/flows/{{flow_id}}/stop, not {text!r}"
            )
        parts = urlsplit(found.group(2))
        path = parts.path.strip("/").removeprefix("rest/")
        return cls((found.group(1) or "POST").upper(), f"rest/{path}", tuple(parse_qsl(parts.query)))

    def plan(self, ref: RunRef) -> Program[None]:
        """Ask to stop a run. With ``{flow_id}`` alone, the vendor stops the flow's latest run, (b)."""

        def filled(text: str) -> str:
            return text.format(**ref.ids)

        call: Call[None] = Call(
            self.method,
            filled(self.path),
            lambda response: None,
            query={name: filled(value) for name, value in self.query},
            json={} if self.method in {"POST", "PUT"} else NO_BODY,
        )
        yield call
