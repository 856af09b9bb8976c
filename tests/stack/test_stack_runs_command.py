"""`etlapis runs` in the shell of an Airflow: a connection that lies in its database is found and decrypted."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox


def test_a_connection_in_the_database_serves(airflow_stack: LocalAirflow) -> None:
    with CeleryDirectorSandbox(auth=("airflow", "pass:word")) as director:
        seeded = director.seed_run()
        airflow_stack.api.add_connection("director_at_night", director.connection())
        arguments = ["runs", "list", "--conn-id", "director_at_night", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "airflow_provider_etlapis.cli", *arguments],
            env=airflow_stack.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert [row["run_id"] for row in json.loads(done.stdout)] == [seeded.id]
