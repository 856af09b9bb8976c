"""Events for asset watchers: a flow, workflow definition, workspace or job has ended, whoever started it.

For Airflow 3.0 and later. Nothing here imports a hook before a triggerer runs it: DAG files are read often.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_etlapis.runs.ended import Mark, Spread, newly_ended
from airflow_provider_etlapis.runs.model import Newest, RemoteRun
from airflow_provider_etlapis.triggers.event_hooks import check_serves_events
from airflow_provider_etlapis.triggers.releases import SharedStreamProducer

if TYPE_CHECKING:
    from airflow_provider_etlapis.triggers.feed import Feed, Snapshot, Want

DEFAULT_POLL_INTERVAL = 60.0
_HOOKS = "airflow_provider_etlapis.hooks"


class RunFinishedTrigger(BaseEventTrigger):
    """Sends one event for each run of a thing that ends, for ever; for an ``AssetWatcher``, never for ``defer()``.

    The first look is the beginning: what had ended by then is not told. From Airflow 3.3 on, the asset keeps how far
    the ends have been told, written once Airflow has kept the events: a restart goes on there, and misses nothing that
    the vendor still shows. Only a triggerer that dies between both, a second or two, tells a run again; its
    ``run_id`` says so. Before 3.3 a restart begins anew.

    All triggers of one connection share one hook, and one request where the vendor's list shows all things (from
    3.3 on). A vendor that does not answer is asked less and less often, up to every five minutes.

    Several that end between two looks are told some seconds apart, so that each makes a DAG run of its own; of many
    at once, such as after an outage, several may share one. DAGs read them all in ``triggering_asset_events``.

    Each event is the run as :meth:`~airflow_provider_etlapis.runs.model.RemoteRun.facts` gives it. All arguments are
    plain JSON and hold no secret.

    :param hook: dotted path of the vendor's hook class. One of another package is imported here, to see whether it
        can serve events at all.
    :param conn_id: id of the Airflow connection.
    :param what: names the thing, as ``runs_of`` of the hook takes it, such as ``{"flow_id": "12345"}``.
    :param only: ``"ended_well"`` leaves out runs that failed or were cancelled; ``"ended"`` does not.
    :param poll_interval: seconds between two looks.
    :raises InvalidInputError: if ``hook`` names no hook class.
    :raises NotOfferedError: if the hook has no ``runs_of`` of its own: the trigger would never send an event.
    """

    def __init__(
        self,
        *,
        hook: str,
        conn_id: str,
        what: Mapping[str, str],
        only: Newest = "ended_well",
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        **others: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base is not typed
        if only not in get_args(Newest):
            raise ValueError(f"only must be 'ended' or 'ended_well', not {only!r}")
        if poll_interval <= 0:
            raise ValueError(f"poll_interval must be above 0 seconds, not {poll_interval}")
        check_serves_events(hook)
        self.hook = hook
        self.conn_id = conn_id
        self.what = dict(what)
        self.only: Newest = only
        self.poll_interval = poll_interval
        self._others = others  # of a later release
        self._kept: Mark | None = None
        self._told_of_store = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, by which Airflow knows the trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self._others,
                "hook": self.hook,
                "conn_id": self.conn_id,
                "what": self.what,
                "only": self.only,
                "poll_interval": self.poll_interval,
            },
        )

    # From Airflow 3.3 on: one poll for all triggers of a connection

    def shared_stream_key(self) -> Hashable | None:
        """Return what the triggers of one connection have in common."""
        return (f"{__name__}.{RunFinishedTrigger.__qualname__}", self.hook, self.conn_id)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the poll of a connection."""
        return _Poll(kwargs["hook"], kwargs["conn_id"])

    def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield this trigger's events of the connection's poll."""
        from airflow_provider_etlapis.triggers.feed import feed_of

        return self._events(shared_stream, feed_of(self.hook, self.conn_id))

    # Airflow 3.0 to 3.2: a poll of its own

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield events, by a poll of this trigger's own."""
        from airflow_provider_etlapis.triggers.feed import Feed

        feed = Feed(self.hook, self.conn_id)
        async with aclosing(_kept_late(feed)) as snapshots, aclosing(self._events(snapshots, feed)) as events:
            async for event in events:
                yield event

    # Both

    async def _events(self, snapshots: AsyncIterator[Snapshot], feed: Feed) -> AsyncGenerator[TriggerEvent]:
        from airflow_provider_etlapis.triggers.feed import Want

        if getattr(self, "task_instance", None) is not None:
            raise TypeError("RunFinishedTrigger never ends: it is for asset watchers, not for deferred tasks")
        want = Want(self.what, self.poll_interval, None)
        spread = Spread()
        has_position = await self._recall(want)
        feed.join(want)
        try:
            async for snapshot in snapshots:
                look = snapshot.looks.get(want)
                if look is None:
                    continue
                if not has_position:
                    # Without it, what is news cannot be told. The look did not go back to it either.
                    has_position = await self._recall(want)
                    feed.hurry(want)
                    continue
                now = time.monotonic()
                share = partial(spread.share, now=now)
                news = newly_ended(want.mark, look.runs, look.at, gone=look.gone, wanted=self._wants, share=share)
                want.mark = news.mark
                for run in news.runs:
                    yield TriggerEvent(run.facts())  # type: ignore[no-untyped-call]  # Airflow's class is not typed
                if news.left:
                    feed.hurry(want, after=spread.wait(now))
                if want.mark.is_news_to(self._kept):
                    snapshot.when_kept.append(partial(self._keep, want.mark))
        finally:
            feed.leave(want)

    def _wants(self, run: RemoteRun) -> bool:
        return self.only == "ended" or run.state.is_good

    # The position in the asset's store

    async def _recall(self, want: Want) -> bool:
        """Read how far the ends have been told; return whether that is known, were it that nothing has been yet."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return True
        try:
            value = await store.aget(self._key)
        except ValueError as error:
            self.asset_state_store = None
            self.log.warning(
                "Ends are told from now on, and a restart will not know how far that went, because Airflow keeps no "
                "position for several assets: give the watcher of each another poll_interval (%s)",
                error,
            )
            return True
        except Exception as error:  # noqa: BLE001 whatever a store's backend raises: it is asked again, and told
            self._warn_of_store("read; nothing is told until then", error)
            return False
        try:
            want.mark = self._kept = None if value is None else Mark.from_json(value)
        except ValueError as error:
            self._warn_of_store("understood; ends are told from now on", error)
        return True

    async def _keep(self, mark: Mark) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        try:
            await store.aset(self._key, mark.to_json())
        except Exception as error:  # noqa: BLE001 as above: it is written with the next position, and told
            self._warn_of_store("written; a restart may tell runs again", error)
        else:
            self._kept = mark
            self._told_of_store = False

    def _warn_of_store(self, what: str, error: Exception) -> None:
        if not self._told_of_store:
            self._told_of_store = True
            self.log.warning("The position in the asset's store could not be %s: %s", what, error)

    @property
    def _key(self) -> str:
        """Tells this trigger's position from that of another watcher of the same asset."""
        told = json.dumps([self.hook, self.conn_id, self.what, self.only], sort_keys=True)
        return f"etlapis-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


class _Poll(SharedStreamProducer):
    """The poll of one connection. Airflow says when the events made of a snapshot are kept."""

    def __init__(self, hook: str, conn_id: str) -> None:
        self._hook = hook
        self._conn_id = conn_id

    async def open_stream(self) -> AsyncIterator[tuple[Snapshot, Snapshot]]:
        """Yield each snapshot, as the event and as what comes back once it is dealt with."""
        from airflow_provider_etlapis.triggers.feed import feed_of

        async with aclosing(feed_of(self._hook, self._conn_id).snapshots()) as snapshots:
            async for snapshot in snapshots:
                yield snapshot, snapshot

    async def advance(self, batch: Any) -> None:
        """Write the positions, unless an event may not have been kept: then a later snapshot brings them."""
        for item in batch:
            if not item.outcome.failed:
                await item.broker_payload.kept()


async def _kept_late(feed: Feed) -> AsyncGenerator[Snapshot]:
    """Yield snapshots, each counting as kept at the next look; for a poll that Airflow does not report back to."""
    before: Snapshot | None = None
    async with aclosing(feed.snapshots()) as snapshots:
        async for snapshot in snapshots:
            if before is not None:
                await before.kept()
            yield snapshot
            before = snapshot


# In the vendors' own words


def etlworks_flow_finished(
    *,
    flow_id: int | str | None = None,
    flow_name: str | None = None,
    conn_id: str = "etlworks_default",
    only: Newest = "ended_well",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
) -> RunFinishedTrigger:
    """Return a trigger for the runs of an Etlworks flow; one request a look.

    :param flow_id: number of the flow; this or ``flow_name``.
    :param flow_name: exact name of the flow.
    :param conn_id: id of the Airflow connection.
    :param only: see :class:`RunFinishedTrigger`; a warning is a good end.
    :param poll_interval: seconds between two looks.
    """
    what = _given(flow_id=flow_id, flow_name=flow_name)
    return _trigger("etlworks.EtlworksHook", conn_id, what, only, poll_interval)


def celery_director_workflow_finished(
    *,
    project: str,
    name: str,
    conn_id: str = "celery_director_default",
    only: Newest = "ended_well",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
) -> RunFinishedTrigger:
    """Return a trigger for the runs of a Celery Director definition; one list a look serves all definitions.

    :param project: project of the definition.
    :param name: name of the definition.
    :param conn_id: id of the Airflow connection.
    :param only: see :class:`RunFinishedTrigger`.
    :param poll_interval: seconds between two looks.
    """
    what = _given(project=project, name=name)
    return _trigger("celery_director.CeleryDirectorHook", conn_id, what, only, poll_interval)


def meiro_workspace_finished(
    *,
    workspace_id: int | str | None = None,
    workspace_name: str | None = None,
    conn_id: str = "meiro_default",
    only: Newest = "ended_well",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
) -> RunFinishedTrigger:
    """Return a trigger for the jobs of a Meiro workspace; one request a look.

    :param workspace_id: number of the workspace; this or ``workspace_name``.
    :param workspace_name: exact name of the workspace.
    :param conn_id: id of the Airflow connection.
    :param only: see :class:`RunFinishedTrigger`.
    :param poll_interval: seconds between two looks.
    """
    what = _given(workspace_id=workspace_id, workspace_name=workspace_name)
    return _trigger("meiro.MeiroHook", conn_id, what, only, poll_interval)


def webrobot_job_finished(
    *,
    project_id: int | str,
    job_id: int | str,
    conn_id: str = "webrobot_default",
    only: Newest = "ended_well",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
) -> RunFinishedTrigger:
    """Return a trigger for the executions of a WebRobot job; two requests a look.

    WebRobot shows a job's last execution only: one that begins and ends between two looks, with another one after
    it, is missed.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param conn_id: id of the Airflow connection.
    :param only: see :class:`RunFinishedTrigger`.
    :param poll_interval: seconds between two looks.
    """
    what = _given(project_id=project_id, job_id=job_id)
    return _trigger("webrobot.WebRobotHook", conn_id, what, only, poll_interval)


def dataworq_job_finished(
    *,
    flow_name: str,
    run_profile_name: str = "default",
    conn_id: str = "dataworq_default",
    only: Newest = "ended_well",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
) -> RunFinishedTrigger:
    """Return a trigger for the jobs of a DataWORQ flow; two lists a look serve all flows, one with whole logs.

    :param flow_name: name of the flow; DataWORQ's lists name no flow ids.
    :param run_profile_name: run profile of the flow.
    :param conn_id: id of the Airflow connection.
    :param only: see :class:`RunFinishedTrigger`.
    :param poll_interval: seconds between two looks.
    """
    what = _given(flow_name=flow_name, run_profile_name=run_profile_name)
    return _trigger("dataworq.DataworqHook", conn_id, what, only, poll_interval)


def _given(**names: int | str | None) -> dict[str, str]:
    """Return what was given, as texts: ``12345`` and ``"12345"`` are one thing, and one poll.

    :raises ValueError: if nothing was.
    """
    given = {name: str(value) for name, value in names.items() if value is not None}
    if not given:
        raise ValueError(f"give one of {', '.join(names)}")
    return given


def _trigger(hook: str, conn_id: str, what: dict[str, str], only: Newest, poll_interval: float) -> RunFinishedTrigger:
    return RunFinishedTrigger(
        hook=f"{_HOOKS}.{hook}", conn_id=conn_id, what=what, only=only, poll_interval=poll_interval
    )
