"""How DataWORQ is reached, by either of its two access modes, and by what its own error answers are recognised."""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus

from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.wire.auth import Auth, AuthFlow, HeaderAuth
from airflow_provider_etlapis.wire.call import Request, Response
from airflow_provider_etlapis.wire.errors import MalformedAnswerError
from airflow_provider_etlapis.wire.exchange import server_words

CLOUD_CONNECTOR = "https://api.quebit.com"

_LONGEST_PLAIN_ERROR = 500
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


_DOCUMENTED_WORDS = re.compile(r"bad request|server error", re.IGNORECASE)


def is_own_error(response: Response) -> bool:
    """Return whether DataWORQ itself has sent an error answer, as far as its shape shows that.

    The reference lists one error, 400 for "Bad Request or Server error", and no body for it (a). So these are
    assumptions (c): a 400 is DataWORQ's own if it is JSON, or a short plain text with words of that line: a proxy's
    "default backend - 400" is plain text as well. Any other 4xx must be JSON that says what is wrong, and a 404 more
    than "Not Found", which gateways, the Cloud Connector among them, say of addresses of their own. A 5xx never is:
    the reference has none,
    and the Cloud Connector, a gateway between us and the server, may send one while the server still works.
    """
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    words = server_words(response)
    if response.status == HTTPStatus.BAD_REQUEST:
        return bool(words) or _is_json_or_plain_text(response)
    if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return bool(words) and words.strip(" .!").casefold() != HTTPStatus(response.status).phrase.casefold()
    return bool(words)


def _is_json_or_plain_text(response: Response) -> bool:
    if len(response.body) > _LONGEST_PLAIN_ERROR and response.body.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        value = response.json()
    except MalformedAnswerError:
        text = response.text.strip()
        return _DOCUMENTED_WORDS.search(text) is not None and "<" not in text
    return isinstance(value, dict | list | str) and bool(value)


def address(values: ConnectionValues) -> str:
    """Return the address of the native API, as it is or as it would be behind the Cloud Connector."""
    server, prefix = _server_and_prefix(values)
    return server + prefix


def auth(values: ConnectionValues) -> Auth:
    """Return the keys as headers; for the Cloud Connector also the packing of each request.

    :raises ConnectionSettingsError: if a key is missing or cannot be sent in a header.
    """
    keys = {"user-api-key": _key(values, values.password, "the password must be the key of an API user")}
    if values.extras["access"] == "native":
        return HeaderAuth(keys)
    hint = "extra 'api_key' must be the key from the Cloud Connector menu of DataWORQ"
    keys["apiKey"] = _key(values, values.extras["api_key"] or "", hint)
    server, _ = _server_and_prefix(values)
    return _CloudConnector(server, keys)


class _CloudConnector(HeaderAuth):
    """Packs each native request into one to the Cloud Connector: its path and verb travel as headers (a).

    :param server: address of the Cloud Connector.
    :param keys: the headers with both keys.
    """

    def __init__(self, server: str, keys: dict[str, str]) -> None:
        super().__init__(keys)
        self._server = server

    def flow(self, request: Request) -> AuthFlow:
        """Send the request, packed. Its URL is percent-encoded, so it fits a header as it is."""
        outer = "call/status" if request.method == "GET" else "call/execute"
        inner = {"endpoint": request.url.removeprefix(self._server), "method": request.method}
        packed = replace(request, url=f"{self._server}/{outer}").with_headers(inner)
        return (yield from super().flow(packed))


def _server_and_prefix(values: ConnectionValues) -> tuple[str, str]:
    prefix = values.extras["api_prefix"].rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise values.fault(f"extra 'api_prefix' must be a path such as /api/v1 (or / for none), not {prefix!r}")
    if values.extras["access"] == "native" and not values.host:
        raise values.fault("fill in the host: the address of the DataWORQ server (or set access to cloud_connector)")
    server = values.base_url(default=CLOUD_CONNECTOR, strip=("/status", "/execute", "/call", prefix))
    return server, prefix


def _key(values: ConnectionValues, key: str, hint: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise values.fault(f"{hint}, without spaces, line breaks or other characters that a header cannot carry")
    return key
