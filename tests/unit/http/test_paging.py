"""Pages by key: walking them gives the whole list, each row once, wherever pages end and however rows tie.

The conditions are run by SQLite, which sees the same SQL and the same numbered arguments as Postgres does.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from skybus.errors import BadRequest
from skybus.http.call import Call
from skybus.http.paging import Page, Where, next_url, page_of

COLUMNS = {"name": "t.name", "size": "t.size", "id": "t.id"}
Row = tuple[int, str, int]

rows_of_few_values = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12)
sorts = st.lists(st.tuples(st.sampled_from(sorted(COLUMNS)), st.booleans()), max_size=3, unique_by=lambda pair: pair[0])


def table(values: list[tuple[str, int]]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER NOT NULL)")
    db.executemany("INSERT INTO t (name, size) VALUES (?, ?)", values)
    return db


def ask(db: sqlite3.Connection, page: Page, extra: int = 0) -> list[Row]:
    """One page, as a list function of an API package asks for it."""
    where, order = Where(), page.order(COLUMNS, "t.id")
    if page.marker is not None:
        columns = ", ".join(column for column, _ in order)
        marker = db.execute(f"SELECT {columns} FROM t WHERE id = ?", (int(page.marker),)).fetchone()
        page.after(where, order, marker)
    sql = f"SELECT id, name, size FROM t {where.sql} {page.tail(order, extra)}"
    arguments = {str(number): value for number, value in enumerate(where.args, 1)}
    return db.execute(re.sub(r"\$(\d+)", r":\1", sql), arguments).fetchall()


def walk(db: sqlite3.Connection, limit: int, sort: tuple[tuple[str, bool], ...]) -> Iterator[list[Row]]:
    marker: str | None = None
    while rows := ask(db, Page(limit=limit, marker=marker, sort=sort)):
        yield rows
        marker = str(rows[-1][0])


def wholly_sorted(db: sqlite3.Connection, sort: tuple[tuple[str, bool], ...]) -> list[Row]:
    """What sorting by one key after the other gives, least important first."""
    rows = cast("list[Row]", db.execute("SELECT id, name, size FROM t").fetchall())
    keys = list(sort)
    if "id" not in [key for key, _ in keys]:
        keys.append(("id", keys[-1][1] if keys else True))
    for key, up in reversed(keys):
        index = ("id", "name", "size").index(key)
        rows.sort(key=lambda row: row[index], reverse=not up)
    return rows


@given(rows_of_few_values, st.integers(1, 5), sorts)
def test_walking_the_pages_gives_every_row_once_in_order(
    values: list[tuple[str, int]], limit: int, sort: list[tuple[str, bool]]
) -> None:
    db = table(values)
    try:
        pages = list(walk(db, limit, tuple(sort)))
        assert [row for page in pages for row in page] == wholly_sorted(db, tuple(sort))
        assert all(len(page) == limit for page in pages[:-1])
    finally:
        db.close()


@given(rows_of_few_values.filter(bool), st.integers(1, 5), sorts.filter(bool), st.data())
def test_a_reversed_page_is_what_stands_before_its_marker(
    values: list[tuple[str, int]], limit: int, sort: list[tuple[str, bool]], data: st.DataObject
) -> None:
    db = table(values)
    try:
        ordered = wholly_sorted(db, tuple(sort))
        at = data.draw(st.integers(0, len(ordered) - 1))
        page = Page(limit=limit, marker=str(ordered[at][0]), sort=tuple(sort), reverse=True)
        assert list(reversed(ask(db, page))) == ordered[max(0, at - limit) : at]
    finally:
        db.close()


@given(rows_of_few_values, st.integers(1, 4), st.lists(st.integers(0, 11), max_size=4), st.data())
def test_rows_that_come_and_go_double_and_skip_nothing_that_stays(
    values: list[tuple[str, int]], limit: int, leaving: list[int], data: st.DataObject
) -> None:
    db = table(values)
    try:
        stay = {row[0] for row in wholly_sorted(db, ())} - {number + 1 for number in leaving}
        seen: list[int] = []
        for number, page in enumerate(walk(db, limit, (("name", True),))):
            seen += [row[0] for row in page]
            gone = [one + 1 for one in leaving if one + 1 != seen[-1]]
            db.executemany("DELETE FROM t WHERE id = ?", [(one,) for one in gone])
            db.execute("INSERT INTO t VALUES (?, ?, 0)", (1000 + number, data.draw(st.sampled_from("abc"))))
            if number > 30:
                break
        old = [one for one in seen if one < 1000]
        assert len(seen) == len(set(seen))
        assert stay <= set(old) or len(seen) > 30
    finally:
        db.close()


def test_one_row_more_than_the_page_tells_that_another_follows() -> None:
    db = table([("a", 1)] * 3)
    try:
        assert len(ask(db, Page(limit=2, marker=None, sort=()), extra=1)) == 3
        assert len(ask(db, Page(limit=3, marker=None, sort=()), extra=1)) == 3
    finally:
        db.close()


# --- what a request may ask


def call(*pairs: tuple[str, str]) -> Call:
    """As much of a call as paging looks at."""
    return cast(Call, SimpleNamespace(query=MultiDict(pairs)))


def page(*pairs: tuple[str, str], **how: Any) -> Page:
    return page_of(call(*pairs), keys=COLUMNS, default_sort="name", **how)


def test_a_request_without_a_word_gets_the_defaults() -> None:
    assert page() == Page(limit=1000, marker=None, sort=(("name", False),))
    assert page(default_limit=25, default_up=True) == Page(limit=25, marker=None, sort=(("name", True),))


def test_both_spellings_of_a_sort_are_read() -> None:
    expected = (("size", True), ("name", False))
    assert page(("sort", "size:asc,name:desc")).sort == expected
    assert page(("sort_key", "size"), ("sort_dir", "asc"), ("sort_key", "name"), ("sort_dir", "desc")).sort == expected
    assert page(("sort_key", "size")).sort == (("size", False),)


def test_a_limit_is_bounded() -> None:
    assert page(("limit", "5")).limit == 5
    assert page(("limit", "0")).limit == 0
    assert page(("limit", "1000000")).limit == 1000


def test_a_limit_of_thousands_of_digits_is_a_large_limit() -> None:
    """Security class 16."""
    assert page(("limit", "9" * 5000)).limit == 1000


@pytest.mark.parametrize(
    "pairs",
    [
        [("limit", "-1")],
        [("limit", "ten")],
        [("limit", "")],
        [("limit", "1.5")],
        [("limit", "\N{SUPERSCRIPT TWO}")],
        [("sort_key", "password")],
        [("sort", "name; DROP TABLE t")],
        [("sort", "name:sideways")],
        [("sort_key", "name"), ("sort_dir", "up")],
    ],
)
def test_what_cannot_be_read_is_refused(pairs: list[tuple[str, str]]) -> None:
    """Security class 15: nothing of a request becomes SQL."""
    with pytest.raises(BadRequest):
        page(*pairs)


def test_the_next_page_keeps_the_filters_and_exchanges_the_marker() -> None:
    asked = call(("status", "A B&C"), ("limit", "2"), ("marker", "old"), ("tag", "x"), ("tag", "y"))
    url = next_url(asked, "http://cloud.test/things", "new")
    assert url == "http://cloud.test/things?status=A+B%26C&tag=x&tag=y&limit=2&marker=new"
    assert next_url(call(), "/things", "m", limit=3) == "/things?limit=3&marker=m"
