"""Runs a DAG file with `dag.test()` on whatever Airflow this is, and prints the tasks' states as JSON.

A script of its own, since the settings of an Airflow hold for a whole process.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

from tests.support.releases import AIRFLOW


def load(path: str) -> Any:
    """Return the DAG of a file, known to the database where `dag.test()` asks for that."""
    spec = importlib.util.spec_from_file_location("played_dag", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag = module.the_dag
    if AIRFLOW >= (3, 1):
        _make_known(dag)
    return dag


def _make_known(dag: Any) -> None:
    if AIRFLOW >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    else:
        from airflow.models.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="testing"))
    bag = DagBag(dag_folder="/dev/null", **({} if AIRFLOW < (3, 2) else {"collect_dags": False}))
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "testing", None)


def main(path: str) -> None:
    """Play it."""
    run = load(path).test()
    found = {}
    for instance in run.get_task_instances():
        name = instance.task_id if instance.map_index < 0 else f"{instance.task_id}[{instance.map_index}]"
        found[name] = str(getattr(instance.state, "value", instance.state))
    print("\nSTATES " + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
