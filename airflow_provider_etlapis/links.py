"""The link from a task to the page of its remote run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

XCOM_RUN_URL = "run_url"


class RemoteRunLink(BaseOperatorLink):
    """Opens the vendor's page of the run. Offered from the moment the run is started."""

    name = "Remote run"

    @property
    def xcom_key(self) -> str:
        """The key under which the operator pushes the address; Airflow 3 reads the link from there."""
        return XCOM_RUN_URL

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty text where the vendor has no page for a run."""
        known = getattr(operator, "page_of_run", None)  # on a worker: an XCom that is not there is logged as an error
        return known if isinstance(known, str) else XCom.get_value(ti_key=ti_key, key=XCOM_RUN_URL) or ""
