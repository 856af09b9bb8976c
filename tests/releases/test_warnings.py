"""No module of ours makes Airflow, or anything else, warn of something deprecated."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys, warnings

found = []

def show(message, category, filename, lineno, file=None, line=None):
    if "airflow_provider_etlapis" in filename and issubclass(category, (DeprecationWarning, FutureWarning)):
        found.append(f"{filename}:{lineno} {category.__name__}: {message}")

warnings.simplefilter("always")
warnings.showwarning = show
import airflow_provider_etlapis as package

from airflow import __version__

left_out = (".director_home.", ".webserver_config")
if tuple(int(part) for part in __version__.split(".")[:2]) < (3, 1):
    left_out += (".page.",)  # Airflow has no place for it there
for module in pkgutil.walk_packages(package.__path__, "airflow_provider_etlapis."):
    if not any(name in f"{module.name}." for name in left_out) or module.name == "airflow_provider_etlapis.page":
        importlib.import_module(module.name)
from airflow.providers_manager import ProvidersManager

known = ProvidersManager().hooks
from airflow_provider_etlapis.connection_forms import FORMS

for form in FORMS:
    assert known[form.conn_type].hook_name == form.hook_name, form.conn_type
    ProvidersManager().field_behaviours
print("\\n".join(["FOUND", *found]))
"""


def test_importing_all_modules_and_discovering_the_provider_warns_of_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.partition("FOUND")[2].split("\n")[1:-1] == []
