"""One connection to a directory (RFC 4511): bind, search, StartTLS. One question at a time; the caller sets deadlines.

A connection on which something went wrong, a deadline included, is not used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from skybus.identity.ldap import ldap_ber as ber

SUCCESS, SIZE_LIMIT, NO_SUCH_OBJECT, INVALID_CREDENTIALS = 0, 4, 32, 49
REFUSED = (INVALID_CREDENTIALS, 48, 50, 53, 19, 32, 34)
"""Results of a bind that say something of who binds, and not of the directory: wrong password, locked, unknown name."""
BASE, ONE, SUBTREE = 0, 1, 2
START_TLS = "1.3.6.1.4.1.1466.20037"
PAGED = "1.2.840.113556.1.4.319"
MOST_BYTES = 64 << 20
"""Of all that one search answers."""


class LdapError(Exception):
    """The directory does not do what it is asked; the message is for our log."""


class WrongPassword(LdapError):
    """The directory knows nobody of this name and password."""


class Entry(msgspec.Struct, frozen=True):
    """One entry: its name, and its attributes' values by their names in lower case."""

    dn: str
    attributes: dict[str, list[str]]

    def first(self, attribute: str) -> str | None:
        """The attribute's first value, or None."""
        found = self.attributes.get(attribute.lower())
        return found[0] if found else None


T = TypeVar("T")


class Found(msgspec.Struct, Generic[T], frozen=True):
    """What was found, and whether that is all there is: a directory may have a limit of its own."""

    items: list[T]
    whole: bool


class Connection:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._last_id = 0

    @classmethod
    async def open(cls, host: str, port: int, *, tls: ssl.SSLContext | None, start_tls: bool) -> Connection:
        """Connect, under TLS at once or by StartTLS when there is `tls`. Raises OSError or LdapError."""
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls if not start_tls else None, limit=ber.LONGEST + 16
        )
        connection = cls(reader, writer)
        if start_tls and tls is not None:
            try:
                await connection._start_tls(tls, host)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        answer, _ = await self._ask(ber.sequence(ber.octets(START_TLS, 0x80), tag=0x77), 0x78)
        _need_success(answer)
        await self._writer.start_tls(tls, server_hostname=host)

    def close(self) -> None:
        """Say good-bye, and wait for nothing."""
        if not self._writer.is_closing():
            self._writer.write(self._message(ber.tlv(0x42, b"")))
            self._writer.close()

    @property
    def closing(self) -> bool:
        """Whether either side has ended it."""
        return self._writer.is_closing() or self._reader.at_eof()

    async def bind(self, dn: str, password: str) -> None:
        """Be `dn` from now on. Raises WrongPassword or LdapError.

        An empty password would make a directory answer yes to anybody (RFC 4513, section 5.1.2): it is never sent with
        a name.
        """
        if dn and not password:
            raise WrongPassword("an empty password")
        request = ber.sequence(ber.integer(3), ber.octets(dn), ber.octets(password, 0x80), tag=0x60)
        answer, _ = await self._ask(request, 0x61)
        code, message = _result(answer)
        if code in REFUSED:
            raise WrongPassword(f"result {code}")
        if code != SUCCESS:
            raise LdapError(f"binding: result {code}: {message}")

    async def search(
        self, base: str, scope: int, search_filter: bytes, attributes: Sequence[str], *, most: int, page_size: int = 0
    ) -> Found[Entry]:
        """At most `most` entries. A base that does not exist has none. Raises LdapError."""
        found: list[Entry] = []
        cookie: bytes | None = b""
        while cookie is not None:
            request = ber.sequence(
                ber.octets(base),
                ber.enumerated(scope),
                ber.enumerated(0),
                ber.integer(0 if page_size else most + 1),
                ber.integer(0),
                ber.boolean(False),
                search_filter,
                ber.texts(attributes),
                tag=0x63,
            )
            cookie = await self._page(request, found, most, page_size, cookie)
            if cookie == b"" and len(found) <= most:
                return Found(found, True)
            if len(found) > most:
                break
        return Found(found[:most], False)

    async def _page(self, request: bytes, found: list[Entry], most: int, page_size: int, cookie: bytes) -> bytes | None:
        """Add one page to `found`; the mark of the next, nothing behind the last, None where a limit ended it."""
        controls = b""
        if page_size:
            value = ber.sequence(ber.integer(page_size), ber.octets(cookie))
            controls = ber.sequence(ber.sequence(ber.octets(PAGED), ber.octets(value)), tag=0xA0)
        message_id = self._send(request, controls)
        size = 0
        while True:
            tag, content, answered = await self._receive(message_id)
            size += len(content)
            if size > MOST_BYTES:
                raise LdapError(f"a search answered more than {MOST_BYTES} bytes")
            if tag == 0x64 and len(found) <= most:
                found.append(_entry(content))
            elif tag == 0x65:
                code, message = _result(content)
                if code not in (SUCCESS, SIZE_LIMIT, NO_SUCH_OBJECT):
                    raise LdapError(f"searching: result {code}: {message}")
                if code == SIZE_LIMIT:
                    return None
                return _cookie(answered) if page_size else b""

    # --- messages

    def _message(self, operation: bytes, controls: bytes = b"") -> bytes:
        self._last_id += 1
        return ber.sequence(ber.integer(self._last_id), operation, controls)

    def _send(self, operation: bytes, controls: bytes = b"") -> int:
        self._writer.write(self._message(operation, controls))
        return self._last_id

    async def _ask(self, operation: bytes, answer: int) -> tuple[bytes, bytes]:
        message_id = self._send(operation)
        await self._writer.drain()
        tag, content, controls = await self._receive(message_id)
        if tag != answer:
            raise LdapError(f"an answer of kind {tag:#x} where {answer:#x} was due")
        return content, controls

    async def _receive(self, message_id: int) -> tuple[int, bytes, bytes]:
        """(kind, content, controls) of the next message to this question."""
        try:
            data = await self._read_value()
            parts = list(ber.values(data))
            if len(parts) < 2 or parts[0][0] != ber.INTEGER:
                raise ber.BerError("a message without an id")
            if ber.number(parts[0][1]) != message_id:
                raise ber.BerError("a message to no question of ours")
        except (ber.BerError, asyncio.IncompleteReadError) as error:
            raise LdapError(f"reading an answer: {error}") from error
        return parts[1][0], parts[1][1], parts[2][1] if len(parts) > 2 else b""

    async def _read_value(self) -> bytes:
        start = await self._reader.readexactly(2)
        if start[1] > 0x80:
            start += await self._reader.readexactly(min(start[1] & 0x7F, 4))
        found = ber.header(start)
        if found is None or found[0] != ber.SEQUENCE:
            raise ber.BerError("no message")
        return await self._reader.readexactly(found[2])


def _result(content: bytes) -> tuple[int, str]:
    try:
        parts = list(ber.values(content))
        return ber.number(parts[0][1]), parts[2][1].decode("utf-8", "replace")[:200]
    except (ber.BerError, IndexError) as error:
        raise LdapError(f"reading a result: {error}") from error


def _need_success(content: bytes) -> None:
    code, message = _result(content)
    if code != SUCCESS:
        raise LdapError(f"result {code}: {message}")


def _entry(content: bytes) -> Entry:
    try:
        (_, dn), (_, listed) = ber.values(content)
        attributes: dict[str, list[str]] = {}
        for _, attribute in ber.values(listed):
            (_, name), (_, several) = ber.values(attribute)
            attributes[name.decode("ascii", "replace").lower()] = [_text(value) for _, value in ber.values(several)]
        return Entry(dn.decode("utf-8", "replace"), attributes)
    except (ber.BerError, ValueError) as error:
        raise LdapError(f"reading an entry: {error}") from error


def _text(value: bytes) -> str:
    """Text; the 16 bytes of an objectGUID as Keystone shows them, and other bytes in hexadecimal."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return str(UUID(bytes_le=value)) if len(value) == 16 else value.hex()
    return text if "\x00" not in text else value.hex()


def _cookie(controls: bytes) -> bytes:
    try:
        for _, control in ber.values(controls):
            parts = list(ber.values(control))
            if parts[0][1].decode("ascii", "replace") == PAGED:
                ((_, inner),) = ber.values(parts[-1][1])
                return list(ber.values(inner))[1][1]
    except (ber.BerError, ValueError, IndexError) as error:
        raise LdapError(f"reading the mark of a page: {error}") from error
    return b""
