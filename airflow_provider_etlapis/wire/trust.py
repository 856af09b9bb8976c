"""Which certificates are trusted and shown, alike for both clients; what cannot be used is said by its name.

Trusted are the system's authorities (OpenSSL's, which SSL_CERT_FILE and SSL_CERT_DIR replace), those of certifi where
the system has none, and besides these REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) and the connection's own.
"""

from __future__ import annotations

import os
import re
import ssl

from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire.errors import SettingsError

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.r?\d+")


def context(*, ca: str | None, certificate: str | None, key: str | None, verify: bool) -> ssl.SSLContext:
    """Return a TLS context.

    :param ca: PEM file of an authority, or a folder of such files under their hashed names.
    :param certificate: PEM file of a client certificate.
    :param key: PEM file of its key, if that is not in the same file.
    :param verify: verify the server's certificate.
    :raises SettingsError: naming the file or folder that cannot be used, and where it is set.
    """
    made = ssl.create_default_context()
    if not _has_authorities():
        _add_published(made)
    for name in _BUNDLE_VARIABLES:
        if path := os.environ.get(name):
            _add(made, path, f"the environment variable {name}")
            break
    if ca:
        _add(made, ca, "ca_file")
    if certificate:
        _show(made, certificate, key)
    elif key:
        raise SettingsError("client_key_file is set without client_certificate; name the file of the certificate too")
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _has_authorities() -> bool:
    """Say whether OpenSSL finds authorities of its own: a slim image may have none."""
    paths = ssl.get_default_verify_paths()
    if os.environ.get(paths.openssl_cafile_env) or os.environ.get(paths.openssl_capath_env):
        return True
    if paths.cafile is not None:
        return True
    try:
        return paths.capath is not None and bool(os.listdir(paths.capath))
    except OSError:
        return False


def _add_published(made: ssl.SSLContext) -> None:
    import certifi  # a dependency of requests

    made.load_verify_locations(cafile=certifi.where())


def _add(made: ssl.SSLContext, path: str, setting: str) -> None:
    shown = printable(path, 300)
    try:
        if os.path.isdir(path):
            if not any(_HASHED_NAME.fullmatch(name) for name in os.listdir(path)):
                raise SettingsError(
                    f"{setting} names the folder {shown!r}, which holds no certificates under hashed names; run "
                    "'openssl rehash' on it, or name a PEM file"
                )
            made.load_verify_locations(capath=path)
        else:
            made.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise SettingsError(
            f"{setting} names {shown!r}, which holds no certificate; a PEM file has lines BEGIN CERTIFICATE"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SettingsError(f"{setting} names {shown!r}, which cannot be read: {_reason(error)}") from None


def _show(made: ssl.SSLContext, certificate: str, key: str | None) -> None:
    files = f"client_certificate {printable(certificate, 300)!r}"
    if key:
        files += f" and client_key_file {printable(key, 300)!r}"

    def no_passphrase() -> str:
        raise SettingsError(f"{files}: the key has a passphrase; store it without one, readable by Airflow alone")

    try:
        # Without a function that answers, OpenSSL would ask for the passphrase on the terminal, and wait.
        made.load_cert_chain(certificate, key or None, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"{files}: the key is not that of the certificate") from None
        raise SettingsError(
            f"{files}: no certificate with its key in PEM format (lines BEGIN CERTIFICATE and BEGIN PRIVATE KEY)"
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{files}: cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
