"""What every vendor's sandbox is made of: scripted runs, faults, a ledger, a rate limit, and a served address.

Tests drive any vendor through this surface and need no branch on its name.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, ClassVar, Self, TypedDict
from urllib.parse import quote, urlencode

from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import ArmedFault, Fault, spoil
from airflow_provider_etlapis.sandbox.ledger import Ledger, RequestRecord
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply, Route
from airflow_provider_etlapis.sandbox.runs import Run, RunTable
from airflow_provider_etlapis.sandbox.serving import ADDRESS, BackgroundServer

log = logging.getLogger(__name__)

UNKNOWN_OPERATION = "unknown"
_SECRET_QUERY_NAMES = frozenset({"authorization", "token", "api_key", "apikey", "password"})


class SandboxOptions(TypedDict, total=False):
    """Options that every vendor's sandbox takes; see ``VendorSandbox``."""

    clock: Clock | None
    port: int
    rate_limit: int | None
    rate_window: float
    keep_alive: bool
    tls: ssl.SSLContext | None
    default_life: Life | None


@dataclass
class _Exchange:
    """A request on its way through the pipeline."""

    call: Call
    route: Route | None
    path_exists: bool
    record: RequestRecord
    fault: Fault | None
    retry_after: float | None


class VendorSandbox(ABC):
    """One vendor on a port of 127.0.0.1; a context manager, or ``start()`` and ``stop()``.

    A request passes: ledger, rate limit, fault, route, login, handler. All state may be changed from any thread.

    :param clock: its time; share one between sandboxes to move them together. Default: a clock of its own
    :param port: ``0`` takes a free one; after ``stop()``, ``start()`` takes the same one again
    :param rate_limit: requests per ``rate_window``, beyond it 429 with ``Retry-After``; ``None``: no limit
    :param rate_window: real seconds (clients sleep in real time)
    :param keep_alive: whether connections are kept open; default: as the vendor does
    :param tls: context of a server certificate; the address is then https
    :param default_life: the life of runs that neither ``plan`` nor the flow gives one
    """

    #: Name in the registry, and the Airflow connection type of the vendor's hook.
    vendor: ClassVar[str]
    connection_type: ClassVar[str]
    #: Whether the real one keeps connections open.
    keeps_connections: ClassVar[bool] = True
    #: What the real one says in its ``Server`` header.
    server_header: ClassVar[str] = "nginx"
    #: Whether the ``Date`` of its answers is by its own clock; settable.
    dates_by_clock: bool = False
    #: What ``seed_run`` starts when no flow is named.
    default_flow: ClassVar[str]
    #: By the doctor's checks: the options under which the check differs as it does on a server.
    replays: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {}

    _routes: ClassVar[tuple[Route, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [member.route for member in vars(cls).values() if hasattr(member, "route")]
        cls._routes = (*cls._routes, *own)

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        port: int = 0,
        rate_limit: int | None = None,
        rate_window: float = 60.0,
        keep_alive: bool | None = None,
        tls: ssl.SSLContext | None = None,
        default_life: Life | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.rate_limit = rate_limit
        self.rate_window = rate_window
        self.keep_alive = self.keeps_connections if keep_alive is None else keep_alive
        self.default_life = default_life or Life()
        self.runs = RunTable()
        self.ledger = Ledger(self.runs, self.clock.now)
        self._port = port
        self._tls = tls
        self._server: BackgroundServer | None = None
        self._lock = threading.RLock()
        self._planned: deque[tuple[str | None, Life]] = deque()
        self._faults: list[ArmedFault] = []
        self._recent: deque[float] = deque()
        self._crashes: list[Exception] = []

    # -- its life ---------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; runs and ledger of an earlier start are still there."""
        if self._server is None:
            self._server = BackgroundServer(
                self._serve,
                on_connection=self.ledger.note_connection,
                keep_alive=lambda: self.keep_alive,
                port=self._port,
                tls=self._tls,
            )
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections.

        :raises RuntimeError: if a handler crashed meanwhile, on a script that makes no sense for instance: a test
            must not pass on the 500 that its client got instead
        """
        self._close()
        if self._crashes:
            crash, self._crashes = self._crashes[0], []
            raise RuntimeError(f"the {self.vendor} sandbox could not play its part: {crash}") from crash

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:  # a crash was logged when it happened; the error on its way is the one to show
            self._close()

    @property
    def base_url(self) -> str:
        """Its address, without a slash at the end; kept while it is stopped."""
        if not self._port:
            raise RuntimeError("this sandbox has no address before its first start()")
        return f"{'https' if self._tls else 'http'}://{ADDRESS}:{self._port}"

    # -- for clients ------------------------------------------------------------------------------------------

    def connection(self, **overrides: Any) -> dict[str, Any]:
        """Return an Airflow connection to it as JSON-able fields; ``overrides`` replace whole fields."""
        fields = {"conn_type": self.connection_type, "host": self.base_url, "extra": {}}
        return {**fields, **self.credentials(), **overrides}

    def connection_uri(self, **overrides: Any) -> str:
        """Return the same as an Airflow connection URI."""
        fields = self.connection(**overrides)
        login, password = (quote(fields.get(name) or "", safe="") for name in ("login", "password"))
        user = f"{login}:{password}@" if login or password else ""
        query = f"?{urlencode({'__extra__': json.dumps(fields['extra'])})}" if fields["extra"] else ""
        port = f":{fields['port']}" if fields.get("port") else ""
        schema = quote(fields.get("schema") or "", safe="")
        scheme = fields["conn_type"].replace("_", "-")
        return f"{scheme}://{user}{quote(fields['host'], safe='')}{port}/{schema}{query}"

    @abstractmethod
    def credentials(self) -> dict[str, Any]:
        """Return the connection fields that log in: ``login``, ``password`` and, if need be, ``extra``."""

    def offers(self) -> list[dict[str, str]]:
        """Return what can be started in it: the arguments that name each thing to an operator."""
        return []

    # -- for tests --------------------------------------------------------------------------------------------

    def plan(self, *lives: Life, flow: str | None = None) -> None:
        """Script the next started runs, one life each, in order; with ``flow`` only runs of that flow."""
        with self._lock:
            self._planned.extend((flow, life) for life in lives)

    def inject(self, fault: Fault, when_hit: Callable[[], object] = lambda: None) -> ArmedFault:
        """Let something go wrong; several faults are tried in the order of their injection, one hits.

        :param when_hit: called each time it strikes, before the request is looked at: what happens at that moment
        """
        armed = ArmedFault(fault, when_hit)
        with self._lock:
            self._faults.append(armed)
        return armed

    def clear_faults(self) -> None:
        """Take back every fault."""
        with self._lock:
            self._faults.clear()

    def seed_run(
        self,
        life: Life | None = None,
        *,
        flow: str | None = None,
        age: float = 0.0,
        request: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Add a run that somebody else started ``age`` seconds ago.

        :param life: its script; default: the flow's, else ``default_life``
        :param flow: the vendor's name of what runs; default: the first of those it ships with
        :param request: what it was started with, in the vendor's own words
        :param run_id: default: a new one
        """
        with self._lock:
            return self.begin_run(
                flow or self.default_flow, request or {}, life=life, age=age, run_id=run_id, seeded=True
            )

    # -- for the vendor's module ------------------------------------------------------------------------------

    def begin_run(
        self,
        flow: str,
        request: Mapping[str, Any],
        *,
        life: Life | None = None,
        age: float = 0.0,
        run_id: str | None = None,
        seeded: bool = False,
    ) -> Run:
        """Make a run; its life is the given one, else (not seeded) the next planned, else the flow's own."""
        given = life or (None if seeded else self._next_planned(flow))
        script = self.script(flow, request, given)
        run = Run(
            id=run_id or self.new_run_id(),
            flow=flow,
            life=script,
            started_at=self.clock.now() - age,
            request=dict(request),
            seeded=seeded,
        )
        self.remember(run)
        self.runs.add(run)
        if not seeded:
            self.ledger.note_start(run.id)
        return run

    def cancel_run(self, run: Run, *, stops_work: bool = True) -> None:
        """Mark a run cancelled now, and write that down."""
        run.cancel(self.clock.now(), stops_work=stops_work)
        self.ledger.note_cancel(run.id)

    @abstractmethod
    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Return the life of a run of ``flow`` with its steps resolved; ``life`` is the test's wish, if any."""

    @abstractmethod
    def new_run_id(self) -> str:
        """Return an id for a new run, in the vendor's form."""

    @abstractmethod
    def refuse_login(self, call: Call) -> Reply | None:
        """Return the vendor's answer to a request that is not logged in, or ``None`` if it is."""

    @abstractmethod
    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        """Return the vendor's own error answer; with no ``text`` what it generally says at this status."""

    def remember(self, run: Run) -> None:
        """Note in ``run.details`` what later answers about a new run need; default: nothing."""
        return

    def unwrap(self, call: Call) -> Call:
        """Return the request that is meant, for vendors whose proxy carries it inside another; default: itself."""
        return call

    # -- the pipeline -----------------------------------------------------------------------------------------

    async def _serve(self, call: Call) -> Reply:
        exchange = self._admit(call)
        fault = exchange.fault
        if fault is not None and fault.kind == "apply_late":
            asyncio.get_running_loop().call_later(fault.seconds, self._apply, exchange)
        elif fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        reply = self._complete(exchange)
        if reply.hold:
            await asyncio.sleep(reply.hold)
        return reply

    def _apply(self, exchange: _Exchange) -> None:
        """Let a request take effect whose client has been answered already, or has not been answered at all."""
        with self._lock:
            self._handle(exchange)

    def _admit(self, call: Call) -> _Exchange:
        """Write the request down, and decide what of limit and faults it meets."""
        with self._lock:
            call = self.unwrap(call)
            route, parameters, path_exists = self._find_route(call)
            record = RequestRecord(
                operation=route.operation if route else UNKNOWN_OPERATION,
                method=call.method,
                path=call.path,
                query=tuple(
                    (name, "***" if name.lower() in _SECRET_QUERY_NAMES else value) for name, value in call.query
                ),
                header_names=frozenset(call.headers),
                at=self.clock.now(),
                body=call.body if route is not None and route.needs_login else b"",
            )
            self.ledger.note_request(record)
            retry_after = self._over_limit()
            fault = None
            if retry_after is None:
                armed = next((armed for armed in self._faults if armed.hit(record.operation)), None)
                fault = armed.fault if armed else None
            record.fault = fault.kind if fault else None
            call = replace(call, parameters=parameters)
            return _Exchange(call, route, path_exists, record, fault, retry_after)

    def _complete(self, exchange: _Exchange) -> Reply:
        """Let the request take effect, unless limit or fault forbid, and return the answer, spoiled or not."""
        with self._lock:
            if exchange.retry_after is not None:
                limited = self.error(429, path=exchange.call.path)
                reply = replace(
                    limited,
                    headers={**limited.headers, "Retry-After": str(math.ceil(exchange.retry_after))},
                )
            elif exchange.fault is None:
                reply = self._handle(exchange)
            else:
                true_reply = self._handle(exchange) if exchange.fault.reaches_the_vendor else None
                reply = spoil(exchange.fault, true_reply, lambda status: self.error(status, path=exchange.call.path))
            exchange.record.status = None if reply.delivery == "none" else reply.status
            own = {"Server": self.server_header}
            if self.dates_by_clock:  # else by this machine's, as tests hurry the sandbox's along
                own["Date"] = formatdate(self.clock.now(), usegmt=True)
            return replace(reply, headers={**own, **reply.headers})

    def _handle(self, exchange: _Exchange) -> Reply:
        call, route = exchange.call, exchange.route
        if route is None:
            return self.error(405 if exchange.path_exists else 404, path=call.path)
        if exchange.fault is not None and exchange.fault.kind == "unknown_status":
            call = replace(call, status_word=exchange.fault.word)
        refusal = self.refuse_login(call) if route.needs_login else None
        if refusal is not None:
            return refusal
        try:
            return route.handler(self, call)
        except Exception as crash:  # answered as the vendor would, and raised by stop()
            log.exception("The %s sandbox crashed in %s", self.vendor, route.operation)
            self._crashes.append(crash)
            return self.error(500, path=call.path)

    def _find_route(self, call: Call) -> tuple[Route | None, dict[str, str], bool]:
        method = "GET" if call.method == "HEAD" else call.method
        path_exists = False
        for route in self._routes:
            parameters = route.parameters(call.path)
            if parameters is None:
                continue
            path_exists = True
            if route.method == method:
                return route, parameters, True
        return None, {}, path_exists

    def _over_limit(self) -> float | None:
        """Return after how many seconds there is room again, or ``None`` if there is now."""
        if self.rate_limit is None:
            return None
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - self.rate_window:
            self._recent.popleft()
        if len(self._recent) < self.rate_limit:
            self._recent.append(now)
            return None
        return self._recent[0] + self.rate_window - now if self._recent else self.rate_window

    def _next_planned(self, flow: str) -> Life | None:
        for index, (wanted, life) in enumerate(self._planned):
            if wanted in (None, flow):
                del self._planned[index]
                return life
        return None

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
