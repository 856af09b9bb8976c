"""The two doors for users: the pytest fixture and the command."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import requests

from airflow_provider_etlapis.sandbox import command
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from tests.contract.rows import ROWS

pytest_plugins = ("pytester",)

PROGRAM = """
import argparse, sys
from airflow_provider_etlapis.sandbox import command
parser = argparse.ArgumentParser()
command.add_parser(parser.add_subparsers(required=True))
args = parser.parse_args()
sys.exit(args.run(args))
"""


def test_the_fixture_starts_a_vendor_gives_airflow_its_connection_and_stops_it(pytester):
    pytester.makepyfile(
        """
        import json, os, requests

        def test_first(etlapis_sandbox):
            director = etlapis_sandbox.celery_director(conn_id="my_director", auth=("a", "b"))
            connection = json.loads(os.environ["AIRFLOW_CONN_MY_DIRECTOR"])
            assert connection == director.connection()
            url = connection["host"] + "/api/workflows"
            assert requests.get(url, auth=("a", "b"), timeout=5).json() == []
            test_first.address = connection["host"]

        def test_second(etlapis_sandbox):
            assert "AIRFLOW_CONN_MY_DIRECTOR" not in os.environ
            try:
                requests.get(test_first.address, timeout=5)
            except requests.ConnectionError:
                return
            raise AssertionError("the sandbox of the first test still answers")
        """
    )

    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_the_fixture_fails_a_test_whose_script_made_no_sense(pytester):
    pytester.makepyfile(
        """
        import requests
        from airflow_provider_etlapis.sandbox.lives import Life

        def test_script(etlapis_sandbox):
            director = etlapis_sandbox.celery_director()
            director.plan(Life(outcome="warning"))
            body = {"project": "demo", "name": "ETL", "payload": {}}
            assert requests.post(director.base_url + "/api/workflows", json=body, timeout=5).status_code == 500
        """
    )

    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1, errors=1)


def test_the_fixture_knows_its_vendors(etlapis_sandbox):
    with pytest.raises(AttributeError, match=r"'acme'.*celery_director"):
        etlapis_sandbox.acme()


def test_the_plugin_imports_nothing_heavy():
    heavy = (
        "import sys, airflow_provider_etlapis.sandbox.pytest_plugin as _; print([m for m in %r if m in sys.modules])"
    )
    names = ["aiohttp", "airflow", "requests", "airflow_provider_etlapis.sandbox.server"]
    done = subprocess.run([sys.executable, "-c", heavy % names], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_exports_that_work_and_ends_when_told(ending):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "sandbox", "--vendor", "celery_director"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stdout.readline()
        pasted = subprocess.run(
            ["/bin/sh", "-c", f"{line}\nprintenv AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.environ["PATH"]},
        )
        connection = json.loads(pasted.stdout)
        answer = requests.get(f"{connection['host']}/api/ping", timeout=5)
        process.send_signal(ending)
        _, said = process.communicate(timeout=20)

    assert re.match(r"export AIRFLOW_CONN_\w+='", line)
    assert connection["conn_type"] == "celery_director"
    assert answer.json() == {"message": "pong"}
    assert (process.returncode, said.strip()) == (0, "Serving; Ctrl-C stops it.")


def test_the_command_says_that_a_port_is_taken(capsys):
    with CeleryDirectorSandbox() as other:
        port = int(other.base_url.rpartition(":")[2])
        code = command.run(argparse.Namespace(vendor=None, port=port, speed=1.0))

    assert code == 1
    assert f"Cannot serve celery_director on port {port}" in capsys.readouterr().err


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.vendor)
def test_a_sandbox_says_what_can_be_run_in_it(row):
    with row.sandbox() as sandbox:
        offered = sandbox.offers()
    parameters = set(inspect.signature(type(row.operator(task_id="run"))).parameters)

    assert offered
    assert all(set(names) <= parameters and all(names.values()) for names in offered)
