"""The steps of the demo's workflows: each sleeps `payload["seconds"]` and returns a little JSON.

Read by Celery Director in its own environment, never imported by this package.
"""

# mypy: ignore-errors
# (`director` and Celery are installed in Director's environment only, and without type hints.)

import time

from director import task

STEP_SECONDS = 1.0
LONG_SECONDS = 60.0
SLICE = 0.2


def work(payload, default):
    """Sleep in small slices, so that a terminated worker is gone at once; return the seconds."""
    seconds = float(payload.get("seconds", default))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(SLICE, max(0.0, end - time.monotonic())))
    return seconds


@task(name="EXTRACT")
def extract(*args, **kwargs):
    """Pretend to read two tables."""
    work(kwargs["payload"], STEP_SECONDS)
    return {"orders": 1200, "customers": 85}


@task(name="TRANSFORM_ORDERS")
def transform_orders(*args, **kwargs):
    """Do one half of the group."""
    work(kwargs["payload"], STEP_SECONDS)
    return {"orders": 1180, "rejected": 20}


@task(name="TRANSFORM_CUSTOMERS")
def transform_customers(*args, **kwargs):
    """Do the other half of the group."""
    work(kwargs["payload"], STEP_SECONDS)
    return {"customers": 85, "rejected": 0}


@task(name="LOAD")
def load(*args, **kwargs):
    """Take what the group returned (a list), or the parent's result."""
    work(kwargs["payload"], STEP_SECONDS)
    parents = args[0] if args and isinstance(args[0], list) else list(args)
    return {"loaded": sum(part.get("orders", part.get("customers", 0)) for part in parents)}


@task(name="CHECK")
def check(*args, **kwargs):
    """Fail, always, with a message that has to reach the Airflow task log."""
    work(kwargs["payload"], STEP_SECONDS)
    raise ValueError("column 'amount' is null in 3 of 1200 rows")


@task(name="LONG_STEP")
def long_step(*args, **kwargs):
    """Take long enough to be cancelled."""
    return {"slept": work(kwargs["payload"], LONG_SECONDS)}


@task(name="PING")
def ping(*args, **kwargs):
    """Return at once."""
    return {"pong": True}
