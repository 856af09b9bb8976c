"""Takes secrets and control characters out of every text that leaves the wire: error messages, log lines, bodies.

The work is linear in a text that is cut first. A secret that the cut would divide is hidden whole.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire.spelling import SHORT, base64_of, longest_spelling, pattern_of, whole_spellings

LONGEST = 4_000
"""Characters that are left of a text unless another number is asked for."""
MOST_LEARNED = 64
"""Secrets of the process, such as login tokens, that are remembered; the oldest is forgotten for a new one."""

_MASK = "***"
_QUOTES = "\"'"
_SHOWN = 200

_SCHEME = re.compile(
    r"""(?ix)
    \b ( (?:bearer|basic|apikey) \s{1,8} )                     # Authorization schemes
    (?-i: (?=\S{0,400}[A-Z0-9=_.]) ) [A-Za-z0-9._~+/=:-]{6,}   # no plain word of a sentence
    """
)
_NAMED = re.compile(
    r"""(?ix)
    (?<![\w-]) (?= [\w-]{0,100}? (?:token|passwo?r?d|secret|api[_-]?key|authorization|credential) )
    ( [\w-]{1,100}+ \\{0,4} ["']? \s{0,8} [:=] )
    (?:
        (\s{0,8} \\{0,4}) (?: "[^"]{1,400}+ | '[^']{1,400}+ )
      | (\s{0,8} (?:bearer|basic|apikey) \s{1,8}) [^\s"'&,;<>]{3,}+
      | () [^\s"'&,;<>]{3,}+
      | (\s{1,8}) (?-i: (?= [a-z]{0,400}+ [^\sa-z"'&,;<>.!?)] ) ) [^\s"'&,;<>]{3,}+   # no plain word of a sentence
    )
    """
)
_IN_QUERY = re.compile(r"(?i)([?&;](?:key|sig|signature|auth|code|pwd|pass|pw)=)[^\s&#\"'<>]+")
_IN_ADDRESS = re.compile(r"://[^\s/@?#\"'<>]{1,512}@")


@dataclass(frozen=True, slots=True)
class _Secret:
    pattern: re.Pattern[str]
    spellings: tuple[str, ...]


class Redactor:
    """Replaces the secrets that it knows, and whatever looks like a credential, with ``***``.

    :param secrets: those of the connection, which are never forgotten.
    """

    def __init__(self, secrets: tuple[str | None, ...] = ()) -> None:
        self._known: dict[str, _Secret] = {}
        self._learned: deque[str] = deque()
        self._margin = 0
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Remember one more secret of the connection, in the spellings that it takes on the wire."""
        if not secret:
            return
        self._know(secret)
        if len(secret) > SHORT:
            for spelling in base64_of(secret):
                self._know(spelling)

    def add_pair(self, login: str | None, password: str | None) -> None:
        """Remember login and password as one text in base64, as HTTP Basic sends them."""
        if login or password:
            for spelling in base64_of(f"{login or ''}:{password or ''}"):
                self._know(spelling)

    def learn(self, secret: str | None) -> bool:
        """Remember a secret that has come to be known in this process, such as a login token.

        :returns: whether it is new.
        """
        if not secret or secret in self._known:
            return False
        self._know(secret)
        self._learned.append(secret)
        if len(self._learned) > MOST_LEARNED:
            self._known.pop(self._learned.popleft(), None)
        return True

    def __call__(self, text: str, limit: int = LONGEST) -> str:
        """Return the text without secrets, and with its control characters made visible.

        :param limit: characters to return at most, the ``...`` of a text that was cut not counted.
        """
        # What follows the limit within the margin may be the end of a secret that begins before it.
        window = text[: limit + self._margin]
        hidden = self._without_secrets(window)
        if len(text) > len(window):
            hidden = f"{hidden[: max(0, len(hidden) - self._margin)]}..."
        return printable(hidden, limit, lines=True)

    def excerpt(self, body: bytes) -> str:
        """Return the first 200 characters of a body on one line, redacted, for an error message."""
        limit = 20 * _SHOWN
        text = body[: 4 * (limit + self._margin) + 4].decode("utf-8", "replace")
        line = " ".join(self(text, limit).split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."

    def _know(self, secret: str) -> None:
        if secret in self._known:
            return
        self._known[secret] = _Secret(pattern_of(secret), whole_spellings(secret) if len(secret) > SHORT else ())
        self._known = dict(sorted(self._known.items(), key=lambda item: len(item[0]), reverse=True))
        self._margin = max(self._margin, longest_spelling(secret))

    def _without_secrets(self, text: str) -> str:
        for secret in self._known.values():
            text = secret.pattern.sub(_MASK, text)
        for secret in self._known.values():
            for spelling in secret.spellings:
                text = _without_remains(text, spelling)
        text = _SCHEME.sub(rf"\1{_MASK}", text)
        text = _NAMED.sub(_name_and_mask, text)
        text = _IN_QUERY.sub(rf"\1{_MASK}", text)
        return _IN_ADDRESS.sub(f"://{_MASK}@", text)

    def __repr__(self) -> str:
        """Say how many secrets are known, never which."""
        return f"Redactor({len(self._known)} secrets)"


def _name_and_mask(match: re.Match[str]) -> str:
    before = match.group(1) + next(group for group in match.groups()[1:] if group is not None)
    value = match.group()[len(before) :]
    return f"{before}{value[0] if value[0] in _QUOTES else ''}{_MASK}"


def _without_remains(text: str, secret: str) -> str:
    """Hide half of a secret or more, where somebody else has cut the text: at its ends, and before ``...``."""
    half = max(SHORT + 1, (len(secret) + 1) // 2)
    beginning, end = secret[:half], secret[-half:]
    for stop in {len(text), text.find("...")} - {-1}:
        found = text.find(beginning, max(0, stop - len(secret) + 1), stop)
        while found >= 0:
            if secret.startswith(text[found:stop]):
                return _without_remains(f"{text[:found]}{_MASK}{text[stop:]}", secret)
            found = text.find(beginning, found + 1, stop)
    found = text.rfind(end, 0, len(secret) - 1)
    while found >= 0:
        if secret.endswith(text[: found + half]):
            return f"{_MASK}{text[found + half :]}"
        found = text.rfind(end, 0, found + half - 1)
    return text
