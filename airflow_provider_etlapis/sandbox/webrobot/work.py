"""What a WebRobot server runs: jobs with their tasks, and what it says of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Life, story
from airflow_provider_etlapis.sandbox.runs import Run

STAGES = (("read",), ("transform",), ("write",))

_CREATED = 1764547200.0  # 2025-12-01T00:00:00Z
_WORDS = {"queued": "PENDING", "running": "RUNNING", "success": "COMPLETED", "error": "FAILED"}
_TERMINAL = frozenset({"success", "error", "canceled"})


@dataclass(frozen=True)
class Task:
    """A task of a job.

    :param id: a whole number, as text
    :param key: the task's ``apiKey``, a secret that the API shows
    """

    id: str
    name: str
    task_type: str = "SPARK"
    key: str = ""


@dataclass(frozen=True)
class Job:
    """A job of a project.

    :param project: id of the project, a whole number as text
    :param id: a whole number, as text
    :param life: of its runs, or a function that makes one from the body of the request; default: the sandbox's
    :param records: how many a good run reads
    """

    project: str
    id: str
    name: str
    tasks: tuple[Task, ...]
    life: Life | Callable[[Mapping[str, Any]], Life] | None = None
    records: int = 1200

    def __post_init__(self) -> None:
        for number in (self.project, self.id, *(task.id for task in self.tasks)):
            if not number.isdigit():
                raise ValueError(f"ids are whole numbers, metrics show them so; got {number!r}")

    @property
    def flow(self) -> str:
        """What its executions are called among the sandbox's runs."""
        return f"{self.project}/{self.id}"

    def flow_of(self, task: Task) -> str:
        """Return what runs of one of its tasks are called."""
        return f"{self.flow}/{task.id}"


DEMO_PROJECTS = {"98": "Catalogue"}
DEMO_JOBS = (
    Job("98", "210", "product-prices", (Task("1", "scrape-prices"),), life=Life(duration=3.0)),
    Job("98", "220", "stock-levels", (Task("229", "scrape-stock", key="task-key-5d1c"),), life=Life(duration=2.0)),
    Job(
        "98",
        "230",
        "broken-extraction",
        (Task("231", "scrape-nothing"),),
        life=Life(duration=2.0, outcome="error", failing_step="transform", error_text="no column 'price' in page 17"),
    ),
    Job(
        "98",
        "240",
        "slow-crawl",
        (Task("241", "crawl"),),
        life=lambda body: Life(duration=float((body.get("parameters") or {}).get("seconds", 60))),
    ),
)


@dataclass(frozen=True)
class Look:
    """A run at one moment, in the vendor's words.

    :param stopped: the word of a run that was stopped
    :param word: a word to use instead of any, from an injected fault
    :param naive: times without a zone and with microseconds, as one page of the vendor has them
    :param whole: times in whole seconds
    :param rows_ahead: seconds by which ``updatedAt`` is ahead of the other times, as where a database has its own clock
    """

    run: Run
    now: float
    stopped: str = "FAILED"
    word: str | None = None
    naive: bool = False
    whole: bool = False
    rows_ahead: float = 0.0

    @property
    def phase(self) -> str:
        """The run's phase."""
        return self.run.current(self.now).phase

    @property
    def status(self) -> str:
        """The status word."""
        return self.word or _WORDS.get(self.phase, self.stopped)

    @property
    def changed(self) -> str:
        """When the status last changed."""
        return stamp(self.run.current(self.now).at + self.rows_ahead, whole=self.whole)

    @property
    def began(self) -> float | None:
        """When it left the queue."""
        return next((at for at, phase in self.run.timeline.run if phase == "running" and at <= self.now), None)

    @property
    def ended(self) -> float | None:
        """When it ended."""
        change = self.run.current(self.now)
        return change.at if change.phase in _TERMINAL else None

    def execution(self, execution_id: str, url: str) -> dict[str, Any]:
        """Return it as the status of an execution."""
        began, ended, phase = self.began, self.ended, self.phase
        texts = {"error": self.run.life.error_text, "canceled": "stopped on request"}
        return {
            "executionId": execution_id,
            "status": self.status,
            "startedAt": self._time(began),
            "completedAt": self._time(ended),
            "executionTimeSeconds": None if ended is None else int(ended - self.run.started_at),
            "errorMessage": texts.get(phase),
            "sparkUiUrl": None if began is None else url,
            "executorPodCount": None if began is None else 2,
        }

    def metrics(self, task_id: str, records: int) -> dict[str, Any]:
        """Return it as the metrics of a task."""
        began, ended = self.began, self.ended
        seconds = int((ended if ended is not None else self.now) - began) if began is not None else 0
        good = self.phase == "success"
        return {
            "taskId": int(task_id),
            "durationSeconds": seconds,
            "recordsProcessed": records if good else 0,
            "recordsOutput": records - 13 if good else 0,
            "outputFileSizeBytes": records * 96 if good else 0,
            "driverMemoryUsedBytes": 512 * 1024**2,
            "executorMemoryUsedBytes": 2 * 1024**3,
            "executorCount": 2,
            "totalCpuTimeSeconds": 2 * seconds,
            "errorCount": int(self.phase in {"error", "canceled"}),
            "warningCount": 0,
            "status": self.status,
            "startedAt": self._time(began),
            "completedAt": self._time(ended),
        }

    def log(self, pod_type: str) -> list[str]:
        """Return the lines of the driver's or of an executor's log so far."""
        pod = "driver" if pod_type == "driver" else "executor-1"
        lines = [f"{stamp(at)} INFO {pod} {text}" for at, text in story(self.run.timeline, self.now)]
        if self.phase == "error":
            lines.append(f"{stamp(self.ended or self.now)} ERROR {pod} {self.run.life.error_text}")
        return lines

    def _time(self, at: float | None) -> str | None:
        if at is None or not self.naive:
            return None if at is None else stamp(at, whole=self.whole)
        return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def stamp(at: float, *, whole: bool = False) -> str:
    """Return a time as the API writes it, with a fraction or as whole seconds."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds" if whole else "milliseconds")
    return text.replace("+00:00", "Z")


def job_json(job: Job, look: Look | None, idle: str | None = None) -> dict[str, Any]:
    """Return a job; ``look`` is its last run, ``idle`` the status of one that never ran."""
    return {
        "id": job.id,
        "name": job.name,
        "description": None,
        "projectId": job.project,
        "agentId": "7",
        "executionStatus": look.status if look else idle,
        "enabled": True,
        "taskIds": [task.id for task in job.tasks],
        "createdAt": stamp(_CREATED),
        "updatedAt": look.changed if look else stamp(_CREATED),
    }


def task_json(
    job: Job, task: Task, look: Look | None, reference: str | None, idle: str | None = None
) -> dict[str, Any]:
    """Return a task; ``look`` is its last run, ``reference`` its execution, ``idle`` the status if it never ran."""
    return {
        "id": task.id,
        "name": task.name,
        "description": None,
        "jobId": job.id,
        "taskType": task.task_type,
        "executionReferenceId": reference,
        "executionStatus": look.status if look else idle,
        "executionLog": "\n".join(look.log("driver")) if look else None,
        "executionMode": "MANUAL",
        "enabled": True,
        "apiKey": task.key or None,
        "createdAt": stamp(_CREATED),
        "updatedAt": look.changed if look else stamp(_CREATED),
    }


def aggregated(looks: list[Look], records: int) -> dict[str, Any]:
    """Return sums, averages and counts over runs."""
    each = [look.metrics("0", records) for look in looks]

    def total(name: str) -> int:
        return sum(metrics[name] for metrics in each)

    phases = [look.phase for look in looks]
    seconds = total("durationSeconds")
    return {
        "totalExecutions": len(each),
        "totalDurationSeconds": seconds,
        "averageDurationSeconds": seconds / len(each) if each else 0.0,
        "totalRecordsProcessed": total("recordsProcessed"),
        "totalRecordsOutput": total("recordsOutput"),
        "totalOutputFileSizeBytes": total("outputFileSizeBytes"),
        "totalDriverMemoryUsedBytes": total("driverMemoryUsedBytes"),
        "totalExecutorMemoryUsedBytes": total("executorMemoryUsedBytes"),
        "totalCpuTimeSeconds": total("totalCpuTimeSeconds"),
        "totalErrorCount": total("errorCount"),
        "totalWarningCount": total("warningCount"),
        "completedCount": phases.count("success"),
        "failedCount": phases.count("error") + phases.count("canceled"),
        "runningCount": phases.count("running"),
    }
