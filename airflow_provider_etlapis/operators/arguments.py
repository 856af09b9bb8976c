"""The parameters that operators and sensors pass on, by name and type, so that editors and type checkers know them."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Required, TypeAlias, TypedDict

from airflow_provider_etlapis.operators.attempt import OnAlreadyRunning
from airflow_provider_etlapis.runs.resume import OnLostStart

Callback: TypeAlias = Callable[[Any], None]
Duration: TypeAlias = float | timedelta
LogRemote = Literal[True, False, "on_failure"]


class TaskArguments(TypedDict, total=False):
    """Airflow's own, of every operator; which of them a release knows is Airflow's to say."""

    task_id: Required[str]
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: Any
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Callback | Collection[Callback] | None
    on_failure_callback: Callback | list[Callback] | None
    on_success_callback: Callback | Collection[Callback] | None
    on_retry_callback: Callback | list[Callback] | None
    on_skipped_callback: Callback | Collection[Callback] | None
    pre_execute: Callable[[Any], None] | None
    post_execute: Callable[[Any, Any], None] | None
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    task_concurrency: int | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: Any
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class RunArguments(TaskArguments, total=False):
    """Those of :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`."""

    wait_for_completion: bool
    deferrable: bool
    poll_interval: Duration
    timeout: Duration | None
    poll_failure_budget: Duration
    cancel_on_kill: bool
    cancel_on_timeout: bool
    on_lost_start: OnLostStart
    on_already_running: OnAlreadyRunning
    log_remote: LogRemote
    durable: bool
    follow_progress: bool


class AirflowSensorArguments(TaskArguments, total=False):
    """Airflow's own, of every sensor."""

    poke_interval: Duration
    timeout: Duration
    soft_fail: bool
    mode: str
    exponential_backoff: bool
    max_wait: Duration | None
    silent_fail: bool
    never_fail: bool


class SensorArguments(AirflowSensorArguments, total=False):
    """Those of :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`."""

    deferrable: bool
    poll_failure_budget: Duration
