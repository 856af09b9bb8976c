"""DAG files import quickly: reading one pulls in no HTTP library, no hook and no sandbox."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("requests", "aiohttp", "pendulum", "airflow_provider_etlapis.hooks", "airflow_provider_etlapis.sandbox")


def modules_after(statement: str) -> set[str]:
    program = f"import sys; import airflow; {statement}; print('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """What importing Airflow's own operators loads already."""
    return modules_after("from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, conf, XCom")


@pytest.mark.parametrize("kind", ["operators", "sensors"])
def test_reading_a_dag_imports_nothing_heavy(bare: set[str], kind: str) -> None:
    added = modules_after(f"import airflow_provider_etlapis.{kind}.celery_director") - bare

    assert f"airflow_provider_etlapis.{kind}.celery_director" in added
    assert sorted(name for name in added if name == name.split(".")[0] and name in HEAVY) == []
    assert sorted(name for name in added if name.startswith(HEAVY[3:])) == []


def test_the_entry_point_imports_no_airflow() -> None:
    program = "import sys; import airflow_provider_etlapis.get_provider_info as info; info.get_provider_info(); "
    done = subprocess.run(
        [sys.executable, "-c", program + "print('airflow' in sys.modules, 'requests' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["False", "False"]
