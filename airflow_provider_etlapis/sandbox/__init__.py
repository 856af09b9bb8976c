"""The vendors on localhost, strictly imitated: for the demo, for our tests and for users' own DAG tests.

This module is only the table of vendors, and imports nothing heavy: every pytest session of every user
loads it through the plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_etlapis.sandbox.server import VendorSandbox

#: Vendor name -> where its sandbox class lives. A new vendor is one module and one row here.
VENDORS: dict[str, str] = {
    "celery_director": "airflow_provider_etlapis.sandbox.celery_director.CeleryDirectorSandbox",
    "dataworq": "airflow_provider_etlapis.sandbox.dataworq.DataworqSandbox",
    "meiro": "airflow_provider_etlapis.sandbox.meiro.MeiroSandbox",
    "etlworks": "airflow_provider_etlapis.sandbox.etlworks.EtlworksSandbox",
    "webrobot": "airflow_provider_etlapis.sandbox.webrobot.WebRobotSandbox",
}


def sandbox_class(vendor: str) -> type[VendorSandbox]:
    """Import and return the sandbox class of one vendor.

    :param vendor: a key of ``VENDORS``, e.g. ``"celery_director"``
    :raises LookupError: if there is no such vendor; the message lists those there are
    """
    if vendor not in VENDORS:
        raise LookupError(f"No sandbox for vendor {vendor!r}; there are: {', '.join(sorted(VENDORS))}")
    module_name, _, class_name = VENDORS[vendor].rpartition(".")
    found: type[VendorSandbox] = getattr(importlib.import_module(module_name), class_name)
    return found
