"""Takes secrets out of every text that leaves the wire: error messages, log lines, shown bodies."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote

_MASK = "***"
_SHOWN = 200

_TELLTALE = re.compile(
    r"""(?ix)
    ( \b(?:bearer|basic|apikey)\s+ )                                            # Authorization schemes
    (?-i: (?=\S*[A-Z0-9=_.]) )[A-Za-z0-9._~+/=:-]{6,}                           # no plain word of a sentence
    |
    ( ["']?[\w-]*(?:token|password|passwd|secret|api[_-]?key|authorization)[\w-]*["']?\s*[:=]\s*["']?
      (?:(?:bearer|basic|apikey)\s+)? )
    [^\s"'&,;<>]{3,}
    """
)


class Redactor:
    """Replaces the secrets that it was told of, and whatever looks like a credential, with ``***``."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Remember one more secret, in the spellings that it takes on the wire."""
        if secret and len(secret) >= 4 and secret not in self._secrets:
            escaped = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret)
            self._secrets |= {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), *escaped}

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _MASK)
        return _TELLTALE.sub(lambda match: f"{match.group(1) or match.group(2)}{_MASK}", text)

    def excerpt(self, body: bytes) -> str:
        """Return the first 200 characters of a body on one line, redacted, for an error message."""
        text = " ".join(self(body[: 20 * _SHOWN].decode("utf-8", "replace")).split())
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

    def __repr__(self) -> str:
        """Say how many secrets are known, never which."""
        return f"Redactor({len(self._secrets)} secrets)"
