"""Operators for Celery Director."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from airflow_provider_etlapis.operators.arguments import RunArguments
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.inputs import true_or_false

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook


class _Arguments(RunArguments, total=False):
    wait_for_all_tasks: bool
    celery_director_conn_id: str


class _CeleryDirectorOperator(RemoteRunOperator):
    conn_id_field = "celery_director_conn_id"

    def __init__(
        self,
        *,
        wait_for_all_tasks: bool = False,
        celery_director_conn_id: str = "celery_director_default",
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        true_or_false(wait_for_all_tasks=wait_for_all_tasks)
        self.wait_for_all_tasks = wait_for_all_tasks
        self.celery_director_conn_id = celery_director_conn_id

    def _spec(self, **inputs: Any) -> dict[str, Any]:
        return {**inputs, "wait_for_all_tasks": True} if self.wait_for_all_tasks else inputs

    @classmethod
    def hook_class(cls) -> type[CeleryDirectorHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook

        return CeleryDirectorHook


class CeleryDirectorRunWorkflowOperator(_CeleryDirectorOperator):
    """Starts a run of a Celery Director definition and waits for it.

    The run carries a comment that recognises it (servers from 0.8.0), so a start call that got no answer is
    settled without a second run. Cancelling has limits of the server's own: 0.10.0 marks a run as canceled
    without stopping its work.

    :param project: project of the definition.
    :param name: name of the definition.
    :param payload: JSON object handed to every task of the run: a dict, or a template of one with
        ``render_template_as_native_obj=True``.
    :param comment: text for the run's comment, in front of the one that recognises it.
    :param wait_for_all_tasks: a run that has ended counts as running until no task of it is at work or still to
        start: the other members of a group after one of them has failed, and the success hook. By default the
        server's status counts, which says ``error`` and ``success`` before these have ended.
    :param celery_director_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`. Returns the
    manifest of the run (:meth:`~airflow_provider_etlapis.runs.model.RemoteRun.manifest`), with the tasks of the
    workflow as its steps. Pushes ``run_id`` and ``run_url`` the moment the run is started.
    """

    template_fields: Sequence[str] = ("project", "name", "payload", "comment", "celery_director_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"payload": "json"}
    ui_color = "#dcefe4"

    def __init__(
        self,
        *,
        project: str,
        name: str,
        payload: Mapping[str, Any] | None = None,
        comment: str | None = None,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.name = name
        self.payload = payload
        self.comment = comment

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.celery_director import inputs as checked

        comment = None
        if self.comment is not None:
            comment = checked.comment_text(str(self.comment)[: checked.LONGEST_COMMENT])
        return self._spec(
            project=checked.definition_part(self.project, "project"),
            name=checked.definition_part(self.name, "name"),
            payload=checked.payload_object(self.payload),
            comment=comment,
        )


class CeleryDirectorRelaunchWorkflowOperator(_CeleryDirectorOperator):
    """Starts a new run with the payload and comment of another one, and waits for it.

    The other run stays as it is, also if it is still running. The new run carries the other one's comment, so a
    start call that got no answer cannot be settled for sure: see ``on_lost_start``.

    :param workflow_id: UUID of the run to relaunch.
    :param wait_for_all_tasks: as for :class:`CeleryDirectorRunWorkflowOperator`.
    :param celery_director_conn_id: id of the Airflow connection.

    Further parameters, XComs and the returned manifest are those of :class:`CeleryDirectorRunWorkflowOperator`.
    """

    template_fields: Sequence[str] = ("workflow_id", "celery_director_conn_id")
    ui_color = "#dcefe4"

    def __init__(self, *, workflow_id: str, **kwargs: Unpack[_Arguments]) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.celery_director.inputs import workflow_id_text

        return self._spec(relaunch=workflow_id_text(self.workflow_id))
