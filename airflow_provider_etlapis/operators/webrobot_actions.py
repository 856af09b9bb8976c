"""Operators that act on WebRobot's tasks and jobs, or read about them, without following a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, get_args

from airflow_provider_etlapis.exceptions import ConflictError, InvalidInputError
from airflow_provider_etlapis.operators.action import ActionStep, ActionSteps, Finding, VendorActionOperator
from airflow_provider_etlapis.operators.arguments import TaskArguments
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.operators.inputs import one_of
from airflow_provider_etlapis.runs.evidence import Evidence

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
    from airflow_provider_etlapis.operators.action_records import StepRecord

OnNotRunning = Literal["succeed", "fail"]

UI_COLOR = "#dde7f3"


class UsesWebRobot(HookMixin):
    """Gives a task WebRobot's hook."""

    conn_id_field = "webrobot_conn_id"

    @classmethod
    def hook_class(cls) -> type[WebRobotHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.webrobot import WebRobotHook

        return WebRobotHook

    @property
    def webrobot(self) -> WebRobotHook:
        """The vendor's hook, with its own endpoints."""
        return cast("WebRobotHook", self.hook)


class WebRobotStopTaskOperator(UsesWebRobot, VendorActionOperator):
    """Asks WebRobot to stop a task in progress. By the vendor's warning, data may be lost or inconsistent.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param webrobot_task_id: id of the task in WebRobot (``task_id`` is Airflow's).
    :param on_not_running: what to do if the task is not running: ``"succeed"``, as what was asked for is so, or
        ``"fail"``.
    :param webrobot_conn_id: id of the Airflow connection.

    A stop request without an answer is settled by the task's status; while the task still runs, a retry asks again.
    The API gives runs of a task no id, so a run that somebody has started between two tries is stopped as well.

    Returns whether there was something to stop.
    """

    template_fields: Sequence[str] = ("project_id", "job_id", "webrobot_task_id", "webrobot_conn_id")
    ui_color = UI_COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        webrobot_task_id: str,
        on_not_running: OnNotRunning = "succeed",
        webrobot_conn_id: str = "webrobot_default",
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_not_running", on_not_running, get_args(OnNotRunning))
        self.project_id = project_id
        self.job_id = job_id
        self.webrobot_task_id = webrobot_task_id
        self.on_not_running: OnNotRunning = on_not_running
        self.webrobot_conn_id = webrobot_conn_id

    def act(self, steps: ActionSteps) -> bool:
        """Ask for the stop."""
        ids = {"project_id": self.project_id, "job_id": self.job_id, "task_id": self.webrobot_task_id}
        return steps.do(
            ActionStep(
                key="stop",
                doing=f"stopping task {self.webrobot_task_id} of job {self.job_id}",
                act=self._stop,
                done=lambda is_asked: (
                    f"task {self.webrobot_task_id} of job {self.job_id} was "
                    f"{'asked to stop' if is_asked else 'not running'}"
                ),
                inputs=ids,
                is_repeatable=True,
                check_outcome=self._read_task,
            )
        )

    def _stop(self) -> bool:
        try:
            self.webrobot.stop_task(self.project_id, self.job_id, self.webrobot_task_id)
        except ConflictError as error:
            if self.on_not_running == "fail":
                raise
            self.log.info("Task %s is not running, there is nothing to stop: %s", self.webrobot_task_id, error)
            return False
        self.log.info("Asked to stop task %s of job %s", self.webrobot_task_id, self.job_id)
        return True

    def _read_task(self, record: StepRecord) -> Finding[bool]:
        """Return whether the task has stopped after a stop request without an answer."""
        run = self.poll(self.hook_class().task_ref(self.project_id, self.job_id, self.webrobot_task_id))
        shown = f"Task {self.webrobot_task_id} of job {self.job_id} is {run.vendor_status}"
        if run.state.is_terminal:
            return Finding(Evidence.FOUND, f"{shown}: it has stopped", True)
        return Finding(Evidence.ABSENT, shown)


class WebRobotMetricsOperator(UsesWebRobot, VendorActionOperator):
    """Reads the metrics of a task's last run, or of all executions of a job, into XCom.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param webrobot_task_id: id of the task in WebRobot (``task_id`` is Airflow's); without it, the job's metrics are
        read.
    :param start_time: of a job: only executions from this moment on, a datetime or ISO 8601 text, UTC where it names
        no zone.
    :param end_time: of a job: only executions up to this moment.
    :param webrobot_conn_id: id of the Airflow connection.

    Returns the vendor's answer as it is: a task's ``{"taskId", "durationSeconds", "recordsProcessed", ...}``, a job's
    ``{"jobId", "startTime", "endTime", "aggregated": {"totalExecutions", ...}}``.
    """

    template_fields: Sequence[str] = (
        "project_id",
        "job_id",
        "webrobot_task_id",
        "start_time",
        "end_time",
        "webrobot_conn_id",
    )
    ui_color = UI_COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        webrobot_task_id: str | None = None,
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
        webrobot_conn_id: str = "webrobot_default",
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.webrobot_task_id = webrobot_task_id
        self.start_time = start_time
        self.end_time = end_time
        self.webrobot_conn_id = webrobot_conn_id

    def act(self, steps: ActionSteps) -> dict[str, Any]:
        """Read the metrics. Nothing is changed, so there is no step to record."""
        if not self.webrobot_task_id:
            return dict(self.webrobot.get_job_metrics(self.project_id, self.job_id, self.start_time, self.end_time))
        if self.start_time or self.end_time:
            raise InvalidInputError(
                "start_time and end_time are for a job's metrics: leave out webrobot_task_id, or them"
            )
        return dict(self.webrobot.get_task_metrics(self.project_id, self.job_id, self.webrobot_task_id))
