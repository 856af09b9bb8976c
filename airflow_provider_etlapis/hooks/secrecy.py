"""Tells Airflow about secrets that come to be known, and people about connections that give theirs away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire.settings import WireSettings

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds for Airflow's supervisor to take a secret: no request waits for it longer."""
MOST_MASKED = 64
"""Secrets of a process that are given to Airflow's masker. It never forgets one, and compiles all of them again for
each new one: 9 ms at the 64th, 150 ms at the 300th, in the event loop. Our own redaction covers later ones too."""
_MOST_NAMED = 10
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_warned: set[tuple[str, str]] = set()
_masked: set[int] = set()
"""Hashes of the secrets that Airflow was given."""


def mask(secrets: tuple[str, ...]) -> None:
    """Have Airflow hide secrets in all logs of this process and of its supervisor; from a worker."""
    from airflow.providers.common.compat.sdk import mask_secret

    for secret in _not_masked_yet(secrets):
        try:
            mask_secret(secret)
        except Exception:
            log.debug("Airflow did not take a secret to hide", exc_info=True)


async def amask(secrets: tuple[str, ...]) -> None:
    """Have Airflow hide secrets, from an event loop, which a call to the supervisor must not hold up."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await _amask(secrets)
    except Exception:
        log.debug("Airflow did not take a secret to hide", exc_info=True)


async def _amask(secrets: tuple[str, ...]) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # before Airflow 3.3.2
        from asgiref.sync import sync_to_async

        await sync_to_async(mask)(secrets)
        return
    for secret in _not_masked_yet(secrets):
        await amask_secret(secret)


def _not_masked_yet(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets that Airflow's masker has not been given, within :data:`MOST_MASKED`."""
    new = tuple(secret for secret in dict.fromkeys(secrets) if secret and hash(secret) not in _masked)
    chosen = new[: max(0, MOST_MASKED - len(_masked))]
    _masked.update(map(hash, chosen))
    return chosen


def warn_once(logger: Any, values: ConnectionValues, settings: WireSettings, *, sends_secret: bool) -> None:
    """Warn once per connection and process if others on the network can read or take its credential.

    :param logger: where to.
    :param sends_secret: whether requests carry a credential at all.
    """
    parts = urlsplit(settings.base_url)
    if parts.scheme == "http" and sends_secret and parts.hostname not in _LOCAL and _is_new(values.conn_id, "http"):
        logger.warning(
            "Connection %r sends its credential unencrypted: its address begins with http://. Anybody on the network "
            "can read it; use https:// if the server has it",
            values.conn_id,
        )
    if parts.scheme == "https" and not settings.verify and _is_new(values.conn_id, "verify_tls"):
        logger.warning(
            "Connection %r does not verify the server's certificate (verify_tls is off): anybody on the network can "
            "pose as the server and take the credential. Name the server's authority in ca_file instead",
            values.conn_id,
        )


def warn_of_unknown(logger: Any, conn_id: str, unknown: Sequence[str]) -> None:
    """Warn once per connection and process of keys in its extra that nothing reads."""
    if unknown and _is_new(conn_id, "extra"):
        logger.warning(
            "Connection %r: nothing reads %s of its extra; the documentation of the connection lists what is read",
            conn_id,
            ", ".join(printable(repr(key), 60) for key in unknown[:_MOST_NAMED]),
        )


def _is_new(conn_id: str, what: str) -> bool:
    if (conn_id, what) in _warned:
        return False
    _warned.add((conn_id, what))
    return True
