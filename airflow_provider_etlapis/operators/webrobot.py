"""Operators for WebRobot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from airflow_provider_etlapis.operators.arguments import RunArguments
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.webrobot_actions import (
    UI_COLOR,
    OnNotRunning,
    UsesWebRobot,
    WebRobotMetricsOperator,
    WebRobotStopTaskOperator,
)

__all__ = [
    "OnNotRunning",
    "WebRobotExecuteJobOperator",
    "WebRobotMetricsOperator",
    "WebRobotStartTaskOperator",
    "WebRobotStopTaskOperator",
]


class WebRobotExecuteJobOperator(UsesWebRobot, RemoteRunOperator):
    """Executes a WebRobot job and waits for the execution's end.

    A job runs once at a time: if it runs already, ``on_already_running`` decides. An execution shows neither its
    inputs nor who started it. After a start request that got no response, the job is started again only if its tasks
    surely name no new execution and nothing of it runs; otherwise the task fails and names the executions to check
    (``on_lost_start``).

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param arguments: further arguments of the Spark job, a list of texts. An upstream task's ``.output`` is accepted;
        a template needs ``render_template_as_native_obj=True`` on the DAG, as it renders to text otherwise.
    :param cloud_credential_ids: credentials to use instead of the job's own, a list of ids; as ``arguments``.
    :param body: further keys of the request as plain JSON, such as ``{"parameters": {"limit": 100}}``: the vendor's
        own clients send some that its reference does not have. As for ``arguments``, a template renders to text.
    :param webrobot_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`. Returns the manifest
    of the run (:meth:`~airflow_provider_etlapis.runs.model.RemoteRun.manifest`); its ``details`` hold the metrics of
    the run's task as ``metrics``, where there are any. Pushes ``run_id`` the moment the execution is started.
    """

    template_fields: Sequence[str] = (
        "project_id",
        "job_id",
        "arguments",
        "cloud_credential_ids",
        "body",
        "webrobot_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"arguments": "json", "body": "json"}
    ui_color = UI_COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        arguments: Sequence[str] | None = None,
        cloud_credential_ids: Sequence[str] | None = None,
        body: Mapping[str, Any] | None = None,
        webrobot_conn_id: str = "webrobot_default",
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.arguments = arguments
        self.cloud_credential_ids = cloud_credential_ids
        self.body = body
        self.webrobot_conn_id = webrobot_conn_id

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.webrobot.inputs import execute_body

        ref = self.hook_class().job_ref(self.project_id, self.job_id)
        arguments, credentials, body = execute_body(self.arguments, self.cloud_credential_ids, self.body)
        return {**ref.ids, "arguments": arguments, "cloud_credential_ids": credentials, "body": body}


class WebRobotStartTaskOperator(UsesWebRobot, RemoteRunOperator):
    """Starts one task of a WebRobot job by itself and waits for the end of its run.

    The API gives such a run no id: it is distinguished from the run before it by what the task showed just before the
    start (its execution's reference, the start in its metrics, its status). A later run of the same task by somebody
    else cannot be distinguished from it. Where the task shows nothing that distinguishes the two, its last run is taken
    five minutes after the start. A task takes no inputs, so after a start request that got no response, a run of it
    that began since then is taken as this one.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param webrobot_task_id: id of the task in WebRobot (``task_id`` is Airflow's).
    :param webrobot_conn_id: id of the Airflow connection.

    Further parameters, XComs and the returned manifest are those of :class:`WebRobotExecuteJobOperator`.
    """

    template_fields: Sequence[str] = ("project_id", "job_id", "webrobot_task_id", "webrobot_conn_id")
    ui_color = UI_COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        webrobot_task_id: str,
        webrobot_conn_id: str = "webrobot_default",
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.webrobot_task_id = webrobot_task_id
        self.webrobot_conn_id = webrobot_conn_id

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        return dict(self.hook_class().task_ref(self.project_id, self.job_id, self.webrobot_task_id).ids)
