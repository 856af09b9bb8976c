"""WebRobot: starts, follows and stops executions of jobs and runs of tasks.

An "execution" is one run of a job, with an id. A task can also be started by itself: its run has no id.
Source: the vendor's API page, its published OpenAPI document, and, where marked so, a later description of its API.
Nothing here was seen on a live server.
"""

from __future__ import annotations

from airflow_provider_etlapis.connection_forms import WEBROBOT
from airflow_provider_etlapis.exceptions import CredentialsRejectedError, InvalidInputError
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.webrobot.documents import is_own_error
from airflow_provider_etlapis.hooks.webrobot.logs import WebRobotLogs
from airflow_provider_etlapis.hooks.webrobot.runs import VENDOR, execution_ref, job_ref, task_ref
from airflow_provider_etlapis.hooks.webrobot.start import WebRobotStarts
from airflow_provider_etlapis.hooks.webrobot.stop import WebRobotStops
from airflow_provider_etlapis.runs.model import Capabilities, RunRef
from airflow_provider_etlapis.text import shown, without_value
from airflow_provider_etlapis.wire.auth import Auth, HeaderAuth
from airflow_provider_etlapis.wire.call import Response

DEFAULT_HOST = "https://api.webrobot.eu"


class WebRobotHook(WebRobotStarts, WebRobotStops, WebRobotLogs):
    """WebRobot's API and its runs.

    The connection (type ``webrobot``): the password is the API key, whole, with its colon if it has one; the host may
    be empty for the vendor's own address; ``base_path`` (``/api``) lies between it and the API's paths.

    A 401 means a wrong key, or a key without the scope that the message names; only a refused execute is a 403.

    References of runs name ``project_id``, ``job_id`` and ``execution_id`` (an execution), ``task_id`` instead of it
    (a run of a task by itself), or neither (whatever runs of a job, where nothing else is known about it).

    :param webrobot_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "webrobot_conn_id"
    default_conn_name = "webrobot_default"
    conn_type = VENDOR
    hook_name = WEBROBOT.hook_name
    form = WEBROBOT
    capabilities = Capabilities(
        cancel=True,
        bulk=True,
        logs=True,
        finds_lost_starts=True,
        cancel_note="WebRobot stops the task of a run, which may lose data, and does not say in which status it ends",
    )

    def __init__(self, webrobot_conn_id: str = default_conn_name) -> None:
        super().__init__(webrobot_conn_id)
        self.webrobot_conn_id = webrobot_conn_id

    def address(self, values: ConnectionValues) -> str:
        """Return the base URL with the base path once, whatever the user typed along."""
        base_path = "/".join(part for part in values.extras["base_path"].split("/") if part)
        below = f"/{base_path}" if base_path else ""
        return values.base_url(default=DEFAULT_HOST, strip=("/webrobot/api", *filter(None, [below]))) + below

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the API key as the header of its own."""
        key = values.password.strip()
        if values.login:
            raise values.fault(
                "the login must be empty and the password the whole API key; in a URI, write its colon as %3A"
            )
        if not key or not key.isascii() or not key.isprintable():
            raise values.fault("the password must be WebRobot's API key")
        return HeaderAuth({"X-API-Key": key})

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Say whether an error answer has WebRobot's own shape."""
        return is_own_error(response)

    @staticmethod
    def execution_ref(project_id: str, job_id: str, execution_id: str) -> RunRef:
        """Return the reference of an execution."""
        return execution_ref(project_id, job_id, execution_id)

    @staticmethod
    def task_ref(project_id: str, job_id: str, task_id: str) -> RunRef:
        """Return the reference of a task's last run."""
        return task_ref(project_id, job_id, task_id)

    @classmethod
    def ref_of(cls, run_id: str) -> RunRef:
        """Return the reference of ``project/job/execution``, of ``project/job/task:task``, or of ``project/job``."""
        match run_id.strip().split("/") if isinstance(run_id, str) else []:
            case [project_id, job_id, last] if last.startswith("task:"):
                return cls.task_ref(project_id, job_id, last.removeprefix("task:"))
            case [project_id, job_id, execution_id]:
                return cls.execution_ref(project_id, job_id, execution_id)
            case [project_id, job_id]:
                return cls.job_ref(project_id, job_id)
        raise InvalidInputError(
            f"a run of WebRobot is named project/job/execution, project/job/task:task or project/job, "
            f"not {shown(run_id)}{without_value(run_id)}"
        )

    @staticmethod
    def job_ref(project_id: str, job_id: str) -> RunRef:
        """Return the reference of a job's last run."""
        return job_ref(project_id, job_id)

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the key with the call that is made for it, and say what the key may see."""
        answer = yield from self.test_projects.plan()
        try:
            seen = f"{len((yield from self.list_projects.plan()))} projects"
        except CredentialsRejectedError as error:
            seen = f"the key may not list projects ({error})"
        return f"WebRobot at {self.settings.base_url} answered {answer.get('message')!r}: {seen}"
