"""What goes to a directory and what comes from it: filters that nobody can bend, and answers that are not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.errors import Unavailable
from skybus.identity.ldap import ldap_ber as ber
from skybus.identity.ldap import ldap_filters as filters
from skybus.identity.ldap.ldap_connection import SUBTREE, Connection, LdapError
from skybus.identity.ldap.ldap_directory import LdapDirectory, folded
from skybus.identity.ldap.ldap_settings import SettingsError, settings_of


@given(st.text(max_size=300))
def test_a_value_is_one_value_whatever_is_in_it(value: str) -> None:
    """Security class 15: a filter has as many parts as we gave it."""
    ((tag, content),) = ber.values(filters.equals("uid", value))
    assert tag == filters.EQUALS
    assert [part for _, part in ber.values(content)] == [b"uid", value.encode("utf-8", "surrogatepass")]


@given(st.integers(0, 2**40))
def test_numbers_are_read_as_they_were_written(value: int) -> None:
    ((_, content),) = ber.values(ber.integer(value))
    assert ber.number(content) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    try:
        found = list(ber.values(data))
    except ber.BerError:
        return
    assert sum(len(content) for _, content in found) <= len(data)


WRITTEN = {
    "(uid=a)": filters.equals("uid", "a"),
    "uid=a": filters.equals("uid", "a"),
    "(uid=*)": filters.present("uid"),
    r"(uid=a\2ab)": filters.equals("uid", "a*b"),
    "(&(a=1)(b=2))": filters.both(filters.equals("a", "1"), filters.equals("b", "2")),
    "(|(a=1)(b=2))": filters.either([filters.equals("a", "1"), filters.equals("b", "2")]),
    "(!(a=1))": ber.tlv(filters.NOT, filters.equals("a", "1")),
    "(a=x*y)": ber.sequence(
        ber.octets("a"), ber.sequence(ber.octets("x", 0x80), ber.octets("y", 0x82)), tag=filters.SUBSTRINGS
    ),
    "(a>=1)": ber.sequence(ber.octets("a"), ber.octets("1"), tag=filters.AT_LEAST),
    "(a:1.2.3:=x)": ber.sequence(ber.octets("1.2.3", 0x81), ber.octets("a", 0x82), ber.octets("x", 0x83), tag=0xA9),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_written_filter_means_what_it_says(text: str) -> None:
    assert filters.written(text) == WRITTEN[text]


@pytest.mark.parametrize(
    "text",
    ["(", "(a)", "(=b)", "(a=b", "(a=b)x", "(&(a=b)", "(a b=c)", r"(a=\zz)", "(!a=b)", "(" * 99, "(a=**)", "x" * 9999],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(filters.FilterError):
        filters.written(text)


def test_spellings_of_one_name_are_one() -> None:
    names = {r"uid=A\5Cb, ou=People,dc=x", r"UID=a\\b,OU=people , dc=x", r"uid = a\5cb,ou=people,dc=x"}
    assert len({folded(name) for name in names}) == 1
    assert folded(r"uid=a\,ou=b,dc=x") != folded("uid=a,ou=b,dc=x")


@pytest.mark.parametrize(
    "name", ["user_id_attribute", "user_name_attribute", "user_objectclass", "group_member_attribute"]
)
def test_an_attribute_has_a_plain_name(name: str) -> None:
    with pytest.raises(SettingsError):
        settings_of({"identity": {"driver": "ldap"}, "ldap": {name: "uid)(x=*"}})


Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _spoken_to(speak: Speak, ask: Callable[[int], Awaitable[None]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await ask(server.sockets[0].getsockname()[1])


def _message(number: int, operation: bytes) -> bytes:
    return ber.sequence(ber.integer(number), operation)


DONE = ber.sequence(ber.enumerated(0), ber.octets(""), ber.octets(""), tag=0x65)
HOSTILE = {
    "nothing": b"",
    "half a header": b"\x30",
    "no message": b"HTTP/1.1 200 OK\r\n\r\n",
    "a length that never ends": b"\x30\x80\x02\x01\x01",
    "a length of gigabytes": b"\x30\x84\x7f\xff\xff\xff",
    "a length of a length": b"\x30\xff" + b"\xff" * 200,
    "less than promised": b"\x30\x20\x02\x01\x01",
    "another question's answer": _message(9, DONE),
    "an entry that is none": _message(1, ber.tlv(0x64, b"\x04\x05ab")),
    "a refusal": _message(1, ber.sequence(ber.enumerated(1), ber.octets(""), ber.octets("no"), tag=0x65)),
    "an empty result": _message(1, ber.tlv(0x65, b"")),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_directory_that_talks_nonsense_has_failed(what: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(HOSTILE[what])
        await writer.drain()

    async def ask(port: int) -> None:
        connection = await Connection.open("127.0.0.1", port, tls=None, start_tls=False)
        with pytest.raises((LdapError, ber.BerError, OSError)):
            await connection.search("", SUBTREE, filters.present("x"), [], most=5)
        connection.close()

    await asyncio.wait_for(_spoken_to(speak, ask), 10)


async def test_a_directory_that_never_stops_is_stopped() -> None:
    """Security class 16: more entries than were asked for are not kept."""
    entry = ber.sequence(ber.octets("uid=x"), ber.sequence(), tag=0x64)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for _ in range(20_000):
            writer.write(_message(1, entry))
        writer.write(_message(1, DONE))
        await writer.drain()

    async def ask(port: int) -> None:
        connection = await Connection.open("127.0.0.1", port, tls=None, start_tls=False)
        found = await connection.search("", SUBTREE, filters.present("x"), [], most=5)
        assert (len(found.items), found.whole) == (5, False)
        connection.close()

    await asyncio.wait_for(_spoken_to(speak, ask), 30)


async def test_what_fails_is_unavailable_and_left_alone_for_a_while() -> None:
    asked = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(b"nonsense")
        await writer.drain()

    async def ask(port: int) -> None:
        settings = settings_of({"identity": {"driver": "ldap"}, "ldap": {"url": f"ldap://127.0.0.1:{port}"}})
        assert settings is not None
        directory = LdapDirectory(settings)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await directory.users()
        directory.close()

    await asyncio.wait_for(_spoken_to(speak, ask), 10)
    assert asked == 1
