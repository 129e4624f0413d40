"""Whose tables are whose: an API package's SQL touches its own Postgres schema and nobody else's."""

from __future__ import annotations

import re

from source_tree import ROOT, Module, modules

TABLE = re.compile(r'(?<![\w.])([a-z_]+)\."?([a-z_]+)"?')
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN|TRUNCATE|LOCK TABLE)\b")
CREATED = re.compile(r'^CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)\."?([a-z_]+)"?', re.MULTILINE)

OWNERS = {
    "skybus.identity": "identity",
    "skybus.image": "image",
    "skybus.network": "network",
    "skybus.volume": "volume",
    "skybus.compute": "compute",
    "skybus.placement": "placement",
    "skybus.metering": "metering",
    "skybus_metering": "metering",
    "skybus.saga": "saga",
    "skybus.store": "bus",
    "skybus_conductor": "conductor",
}
"""Unit -> the Postgres schema that is its own."""

EXCEPTIONS = {
    ("skybus.events", "bus.event"): "subscribers read the event log, which the store writes",
    ("skybus.events", "saga.operation"): "lists operations with filters and pages; writes none",
    ("skybus_conductor", "saga.operation"): "reconcilers leave alone what an operation works on; write none",
    ("skybus_conductor", "bus.dead_letter"): "the conductor collects and replays the dead letters",
    ("skybus.cli", "saga.operation"): "an operator's look at what runs",
    ("skybus.cli", "bus.outbox"): "an operator's look at what is owed",
}
"""(unit, table) -> why it may."""
DOCTOR = "skybus.doctor"
"""Compares the tables of all packages with each other: an operator's tool that stands above them and writes nothing."""


def tables() -> set[str]:
    """Every table of the migrations, `schema.name`."""
    return {
        f"{schema}.{name}"
        for path in (ROOT / "schemas" / "sql").glob("*.sql")
        for schema, name in CREATED.findall(path.read_text())
    }


def touched(module: Module, known: set[str]) -> set[tuple[int, str]]:
    """(line, table) of every table that a string of the module names."""
    return {
        (line, f"{schema}.{name}")
        for line, text in module.texts
        if SQL.search(text)
        for schema, name in TABLE.findall(text)
        if f"{schema}.{name}" in known
    }


def test_a_package_touches_its_own_tables_alone() -> None:
    known = tables()
    wrong = [
        f"{module.at(line)}: {module.unit} touches {table}"
        for module in modules().values()
        if module.unit != DOCTOR
        for line, table in sorted(touched(module, known))
        if OWNERS.get(module.unit) != table.split(".")[0] and (module.unit, table) not in EXCEPTIONS
    ]
    assert wrong == []


def test_the_doctor_only_reads() -> None:
    wrong = [
        f"{module.at(line)}: {text.strip()[:60]}"
        for module in modules().values()
        if module.unit == DOCTOR
        for line, text in module.texts
        if re.search(r"\b(INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|ALTER|DROP)\b", text)
    ]
    assert wrong == []


def test_every_table_has_an_owner() -> None:
    assert {table.split(".")[0] for table in tables()} <= set(OWNERS.values())


def test_every_exception_is_still_needed() -> None:
    known = tables()
    made = {(module.unit, table) for module in modules().values() for _, table in touched(module, known)}
    assert made >= EXCEPTIONS.keys()
