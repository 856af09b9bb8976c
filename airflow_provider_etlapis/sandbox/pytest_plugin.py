"""The fixture ``etlapis_sandbox`` for users' own DAG tests.

Every pytest session of everybody who has this package loads this module: it imports a vendor, and with it the HTTP
server, only when a test asks for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_etlapis.sandbox import VENDORS, sandbox_class

if TYPE_CHECKING:
    from airflow_provider_etlapis.sandbox.server import VendorSandbox


class SandboxFactory:
    """Starts sandboxes for one test: ``etlapis_sandbox.celery_director(conn_id=..., **options)``.

    Each vendor of the registry is a method. Options are those of the vendor's sandbox class.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._started: list[VendorSandbox] = []

    def start(self, vendor: str, *, conn_id: str | None = None, **options: Any) -> VendorSandbox:
        """Start one vendor; it is stopped at the end of the test.

        :param vendor: name in the registry
        :param conn_id: if given, Airflow finds the sandbox under this connection id for the length of the test
            (environment variable ``AIRFLOW_CONN_<ID>``)
        """
        sandbox = sandbox_class(vendor)(**options).start()
        self._started.append(sandbox)
        if conn_id is not None:
            self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(sandbox.connection()))
        return sandbox

    def like(self, report: Path, *, conn_id: str | None = None) -> VendorSandbox:
        """Start the vendor of a report of ``etlapis doctor --json``, behaving as the server that was examined.

        :param report: the file.
        :param conn_id: as in :meth:`start`; the connection has the settings that the report proposes.
        """
        from airflow_provider_etlapis.sandbox.replay import options_of

        examined = json.loads(report.read_text(encoding="utf-8"))
        sandbox = self.start(examined["vendor"], **options_of(examined))
        if conn_id is not None:
            fields = sandbox.connection()
            fitting = {**fields, "extra": {**fields["extra"], **examined.get("proposed", {})}}
            self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fitting))
        return sandbox

    def stop_all(self) -> None:
        """Stop what was started, the last first; all are stopped even if one of them reports a crash."""
        crashes = []
        while self._started:
            try:
                self._started.pop().stop()
            except RuntimeError as crash:
                crashes.append(crash)
        if crashes:
            raise ExceptionGroup("sandboxes could not play their part", crashes)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in VENDORS:
            raise AttributeError(f"no sandbox for vendor {name!r}; there are: {', '.join(sorted(VENDORS))}")
        return lambda **options: self.start(name, **options)


@pytest.fixture
def etlapis_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxFactory]:
    """Vendors on localhost, e.g. ``etlapis_sandbox.celery_director(conn_id="celery_director_default")``."""
    factory = SandboxFactory(monkeypatch)
    yield factory
    factory.stop_all()
