"""The JSON of the vendor's API page, each answer and each body under the operation that it stands at.

Written down as it means: the page has no broken JSON, and its two examples of a request body are alike.
"""

from __future__ import annotations

from typing import Any

STOP_TASK: dict[str, Any] = {}

TASK_METRICS: dict[str, Any] = {
    "taskId": 0,
    "durationSeconds": 0,
    "recordsProcessed": 0,
    "recordsOutput": 0,
    "outputFileSizeBytes": 0,
    "driverMemoryUsedBytes": 0,
    "executorMemoryUsedBytes": 0,
    "executorCount": 0,
    "totalCpuTimeSeconds": 0,
    "errorCount": 0,
    "warningCount": 0,
    "status": "string",
    "startedAt": "2019-08-24T14:15:22Z",
    "completedAt": "2019-08-24T14:15:22Z",
}

JOB_METRICS: dict[str, Any] = {
    "jobId": 0,
    "startTime": "2019-08-24T14:15:22Z",
    "endTime": "2019-08-24T14:15:22Z",
    "aggregated": {
        "totalExecutions": 0,
        "totalDurationSeconds": 0,
        "averageDurationSeconds": 0.1,
        "totalRecordsProcessed": 0,
        "totalRecordsOutput": 0,
        "totalOutputFileSizeBytes": 0,
        "totalDriverMemoryUsedBytes": 0,
        "totalExecutorMemoryUsedBytes": 0,
        "totalCpuTimeSeconds": 0,
        "totalErrorCount": 0,
        "totalWarningCount": 0,
        "completedCount": 0,
        "failedCount": 0,
        "runningCount": 0,
    },
}

RECORD_BODY: dict[str, Any] = {"property1": {}, "property2": {}}

# The other published document's examples of an execute call and of an error.
EXECUTE_BODY: dict[str, Any] = {"cloudCredentialIds": ["550e8400-e29b-41d4-a716-446655440000"]}
EXECUTED: dict[str, Any] = {
    "executionId": "spark-2d53940045a6-95379617",
    "status": "SUBMITTED",
    "message": "Job execution submitted successfully",
    "clusterId": "default-cluster",
    "success": True,
}
ERROR: dict[str, Any] = {
    "error": "Job not found or invalid configuration",
    "code": 400,
    "timestamp": "2025-12-10T23:15:30Z",
}
