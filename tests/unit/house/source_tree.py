"""The repository's own Python, read as syntax and never run: what the house's rules are checked against."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROOTS = (ROOT / "src", ROOT / "workers")


@dataclass(frozen=True)
class Import:
    """`module` is imported in `line`; not `early` when it is inside a function or for type checkers alone."""

    module: str
    line: int
    early: bool


@dataclass(frozen=True)
class Module:
    """One file of ours."""

    name: str
    path: Path
    imports: tuple[Import, ...]
    texts: tuple[tuple[int, str], ...]
    """(line, string constant), docstrings left out; the constant parts of an f-string are joined by `{}`."""

    @property
    def unit(self) -> str:
        """What the rules speak of: `skybus.http`, `skybus.config`, `skybus_compute`."""
        parts = self.name.split(".")
        return ".".join(parts[:2]) if parts[0] == "skybus" else parts[0]

    def at(self, line: int) -> str:
        """`file:line`, for messages."""
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def modules() -> dict[str, Module]:
    """Every module under src and workers, by its import name."""
    files = [(path, _name(path, root)) for root in ROOTS for path in sorted(root.rglob("*.py"))]
    names = {name for _, name in files}
    return {name: _read(path, name, names) for path, name in files}


def unit_of(module: str) -> str:
    """The unit that an imported module belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "skybus" else parts[0]


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(path: Path, name: str, names: set[str]) -> Module:
    tree = ast.parse(path.read_text(), filename=str(path))
    imports = tuple(
        Import(module, node.lineno, early)
        for node, early in _statements(tree, True)
        for module in _imported(node, names)
        if module.split(".")[0].startswith("skybus") or module in ("asyncpg", "sqlite3")
    )
    return Module(name, path, imports, tuple(_texts(tree)))


def _statements(node: ast.AST, early: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, early
        late = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _for_checkers(child)
        yield from _statements(child, early and not late)


def _for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _imported(node: ast.Import | ast.ImportFrom, names: set[str]) -> Iterator[str]:
    """`from skybus.compute import servers` imports the module skybus.compute.servers, if there is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    else:
        assert node.level == 0, "imports are absolute in this house"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in names or node.module == "skybus" else str(node.module)


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inner:
            yield node.lineno, node.value
