"""A broker made of files, so that no Redis is needed: messages are moved into the queue folder whole.

Director offers no setting for a broker's options, hence this file, which its worker and web server both load. Kombu's
own file transport writes a message in place, and a reader that meets half of one ends the worker.
"""

# mypy: ignore-errors
# (`director` and Kombu are installed in Director's environment only, and without type hints.)

import os
import time
import uuid
from pathlib import Path

from director.extensions import cel
from kombu.transport.filesystem import Channel
from kombu.utils.json import dumps

FOLDER = Path(os.environ["ETLAPIS_BROKER_FOLDER"])


def put_whole(self, queue, payload, **kwargs):
    """Write the message beside the queue, then rename it into the queue; names sort by age, as the reader expects."""
    name = f"{time.monotonic_ns():020d}_{uuid.uuid4()}.{queue}.msg"
    draft = FOLDER / "drafts" / name
    draft.write_text(dumps(payload))
    draft.rename(FOLDER / "queue" / name)


Channel._put = put_whole
cel.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "queue"),
    "data_folder_out": str(FOLDER / "queue"),
    "control_folder": str(FOLDER / "control"),
    "processed_folder": str(FOLDER / "processed"),
    "store_processed": True,
    "polling_interval": 0.05,
}
