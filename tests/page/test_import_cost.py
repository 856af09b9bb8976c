"""Only an API server loads the page: a worker, a scheduler and a DAG processor load none of its files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.releases import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has no place for such a page before 3.1")

# What these components ask of plugins, by whatever name the release has for it.
SCRIPT = """
import json, sys
from airflow import plugins_manager

plugins_manager.ensure_plugins_loaded()
asked = []
for name in (
    "get_global_operator_extra_links", "get_operator_extra_links", "get_timetables_plugins", "integrate_macros_plugins",
    "get_priority_weight_strategy_plugins", "initialize_extra_operators_links_plugins", "initialize_timetables_plugins",
    "initialize_ti_deps_plugins",
):
    if hasattr(plugins_manager, name):
        getattr(plugins_manager, name)()
        asked.append(name)
import airflow_provider_etlapis.operators.meiro
import airflow_provider_etlapis.plugin
before = [name for name in sys.modules if name.startswith("airflow_provider_etlapis.page")]
server = airflow_provider_etlapis.plugin.RemoteRunsPlugin().fastapi_apps
after = [name for name in sys.modules if name.startswith("airflow_provider_etlapis.page.")]
print("FOUND", json.dumps({"asked": asked, "before": before, "after": after, "apps": len(server)}))
"""


def test_components_other_than_the_api_server_load_nothing_of_the_page() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("FOUND ")[2])
    assert found["asked"]
    assert found["before"] == []
    assert found["apps"] == 1
    assert found["after"], "the API server itself does load it, or the test would prove nothing"
