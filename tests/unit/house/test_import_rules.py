"""Who may import whom (design, section 3): no import upwards, no circles, and host agents stay below the line."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest
from source_tree import Module, modules, unit_of

GROUND = {"skybus.config", "skybus.log", "skybus.errors", "skybus.clock", "skybus.ids"}
APIS = {
    "skybus.identity",
    "skybus.image",
    "skybus.network",
    "skybus.volume",
    "skybus.compute",
    "skybus.placement",
    "skybus.metering",
    "skybus.events",
}
ORDER = [
    GROUND,
    {"skybus.bus"},
    {"skybus.http"},
    {"skybus.messages"},
    {"skybus.store"},
    {"skybus.saga"},
    APIS,
    {"skybus.doctor"},
    {"skybus.gateway"},
    {"skybus.cli"},
]
"""From the ground up: a unit imports what stands before it."""
RANK = {unit: rank for rank, units in enumerate(ORDER) for unit in units}

AGENTS = {"skybus_compute", "skybus_volume", "skybus_network"}
FOR_AGENTS = GROUND | {"skybus.bus", "skybus.messages"}
CONTROL = {"skybus_conductor", "skybus_scheduler", "skybus_metering"}
FOR_CONTROL = {unit for unit, rank in RANK.items() if rank <= RANK["skybus.doctor"]}
OPERATOR = {"skybus.cli"}
"""The operator's command stands above everything, the workers included."""

EXCEPTIONS = {
    ("skybus.bus.schemas", "skybus.messages"): "writes and checks the contract: it has to find every message class",
}


def _forbidden(module: Module, imported: str) -> bool:
    mine, theirs = module.unit, unit_of(imported)
    if mine == theirs or (module.name, imported) in EXCEPTIONS:
        return False
    if mine in AGENTS:
        return theirs not in FOR_AGENTS
    if mine in CONTROL:
        return theirs not in FOR_CONTROL
    if mine in OPERATOR:
        return theirs not in RANK and theirs not in CONTROL | AGENTS
    if theirs not in RANK:
        return True
    return RANK[theirs] > RANK[mine]


def test_every_module_has_a_place_in_the_order() -> None:
    units = {module.unit for module in modules().values()} - {"skybus"}
    assert units <= RANK.keys() | AGENTS | CONTROL


def test_nothing_imports_upwards_and_no_worker_imports_another() -> None:
    wrong = [
        f"{module.at(one.line)}: {module.name} imports {one.module}"
        for module in modules().values()
        for one in module.imports
        if one.module.startswith("skybus") and _forbidden(module, one.module)
    ]
    assert wrong == []


def test_a_host_agent_never_loads_a_database_driver() -> None:
    """Security: a host holds no database credentials and has no code that could use them."""
    wrong = [
        f"{module.at(one.line)}: {one.module}"
        for module in modules().values()
        if module.unit in AGENTS | {"skybus.bus", "skybus.messages"} | GROUND
        for one in module.imports
        if one.module in ("asyncpg", "sqlite3") or unit_of(one.module) in ("skybus.store", "skybus.saga")
    ]
    assert wrong == []


@pytest.mark.parametrize("what", ["module", "package"])
def test_modules_and_packages_import_each_other_without_circles(what: str) -> None:
    """Packages of one rank may import each other, in one direction."""
    graph: dict[str, set[str]] = {}
    for module in modules().values():
        mine = module.name if what == "module" else module.unit
        for one in module.imports:
            theirs = one.module if what == "module" else unit_of(one.module)
            if one.early and theirs != mine and (module.name, one.module) not in EXCEPTIONS:
                graph.setdefault(mine, set()).add(theirs)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_exception_is_still_needed() -> None:
    made = {(module.name, one.module) for module in modules().values() for one in module.imports}
    assert made >= EXCEPTIONS.keys()
