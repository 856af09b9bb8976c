"""Collects the body of an answer in pieces: counted after decompression, and never more than was allowed.

Both clients hand over the pieces as they came over the wire, so that they decompress alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping

from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire.errors import AnswerTooLargeError, MalformedAnswerError, WireError

ACCEPT_ENCODING = "gzip, deflate"
MOST_OF_AN_ERROR = 256 * 1024
"""Bytes that are read of the body of an error answer: it is read for its words only."""

_AT_ONCE = 256 * 1024
"""Bytes that one step decompresses: well below a millisecond."""
_MOST_MEMBERS = 1_000
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_GZIP_BEGINS = b"\x1f\x8b"


class Body:
    """The body of one answer while it comes in.

    A body that cannot be decompressed must not hide the status of an error answer: it counts as empty there.

    :param status: of the answer.
    :param headers: of the answer, names in lower case.
    :param most: bytes that a good answer may have.
    """

    def __init__(self, status: int, headers: Mapping[str, str], most: int) -> None:
        self._status = status
        self._is_good = 200 <= status < 300
        self._most = most if self._is_good else min(most, MOST_OF_AN_ERROR)
        self._pieces: list[bytes] = []
        self._size = 0
        self._encoding = headers.get("content-encoding", "").strip().lower()
        self._inflate: zlib._Decompress | None = None
        self._begun = b""
        self._members = 1
        self.is_full = False
        """Whether nothing more need be read: the rest of an error answer."""
        if self._encoding in _WINDOW_BITS:
            self._inflate = self._decompressor()
        elif self._encoding not in {"", "identity"} and status not in {204, 304}:
            self._refuse(f"the encoding {printable(self._encoding, 40)!r}, which was not asked for")
        self._check_announced(headers)

    def _check_announced(self, headers: Mapping[str, str]) -> None:
        size = headers.get("content-length", "")
        if self._is_good and size.isascii() and size.isdigit() and len(size) < 20 and int(size) > self._most:
            raise self._too_large()

    def feed(self, piece: bytes) -> Generator[None, None, None]:
        """Take a piece as it came; each step is a moment's work, with a chance for others in between.

        :raises AnswerTooLargeError: when a good answer has become larger than is allowed.
        :raises MalformedAnswerError: if it cannot be decompressed.
        """
        if self.is_full:
            return
        if self._inflate is None:
            self._keep(piece)
            yield
            return
        made = b""
        while (piece or len(made) == _AT_ONCE) and not self.is_full:
            piece, made = self._inflated(self._inflate, piece)
            yield

    def whole(self) -> bytes:
        """Return the body once all pieces have come.

        :raises MalformedAnswerError: if the compressed data ends too early.
        """
        if self._inflate is not None and not self._inflate.eof and self._begun and not self.is_full:
            self._refuse("compressed data that ends too early")
        return b"".join(self._pieces)

    def _inflated(self, inflate: zlib._Decompress, piece: bytes) -> tuple[bytes, bytes]:
        """Decompress a step's worth; return what is left of the piece, and what was made."""
        if len(self._begun) < 2:
            piece, self._begun = self._begun + piece, (self._begun + piece)[:2]
            if len(self._begun) < 2:
                return b"", b""
            inflate = self._inflate = self._decompressor()
        try:
            if inflate.eof:
                if not piece or self._encoding == "deflate" or not _GZIP_BEGINS.startswith(piece[:2]):
                    return b"", b""  # what follows the compressed data is of no meaning
                self._members += 1
                inflate = self._inflate = self._decompressor()
            made = inflate.decompress(piece, _AT_ONCE)
        except zlib.error as error:
            self._refuse(f"compressed data that is damaged ({error})")
            return b"", b""
        if self._members > _MOST_MEMBERS:
            self._refuse(f"compressed data in more than {_MOST_MEMBERS:,} parts")
        self._keep(made)
        return (inflate.unused_data if inflate.eof else inflate.unconsumed_tail), made

    def _decompressor(self) -> zlib._Decompress:
        bits = _WINDOW_BITS[self._encoding]
        # Some servers send deflate without the header that tells it: zlib's begins with these bits and a check sum.
        if self._encoding == "deflate" and len(self._begun) == 2:
            has_header = self._begun[0] & 0x0F == 8 and int.from_bytes(self._begun, "big") % 31 == 0
            bits = bits if has_header else -bits
        return zlib.decompressobj(bits)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._most:
            self._pieces.append(piece)
        elif self._is_good:
            self._pieces.clear()
            raise self._too_large()
        else:
            self._pieces.append(piece[: self._most - self._size])
            self.is_full = True

    def _refuse(self, what: str) -> None:
        if self._is_good:
            raise MalformedAnswerError(f"{what}; status {self._status}", status=self._status)
        self._pieces.clear()
        self._size = 0
        self.is_full = True

    def _too_large(self) -> WireError:
        return AnswerTooLargeError(
            f"The answer is larger than {self._most / 1_000_000:g} MB (uncompressed), the max_response_mb of the "
            "connection; raise that if answers of this size are right",
            status=self._status,
        )
