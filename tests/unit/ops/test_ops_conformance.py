"""Choosing what Tempest runs, and telling it what the cloud is."""

from __future__ import annotations

from pathlib import Path

import pytest
from lib.conformance import LISTS, SERVICES, chosen
from lib.tempest_conf import ini
from lib.trouble import Trouble


def test_every_service_has_a_list_and_each_test_stands_in_it_once() -> None:
    for path in LISTS.glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert lines, path.name
        assert len(lines) == len({line.partition("[")[0] for line in lines}), path.name
        assert all(line.startswith("tempest.api.") for line in lines), path.name
    assert {path.stem for path in LISTS.glob("*.txt")} == {*SERVICES, "interop"}


def test_lists_are_put_together_without_doubles_and_comments(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# mine\n\ntempest.api.a.B.test_c\ntempest.api.a.B.test_c\n")
    assert chosen([str(own)]) == ["tempest.api.a.B.test_c"]
    assert len(chosen(["interop", "interop"])) == 227


def test_an_unknown_list_is_refused_by_name() -> None:
    with pytest.raises(Trouble, match="no list is called nonsense") as caught:
        chosen(["nonsense"])
    assert "interop" in caught.value.advice


def test_values_are_written_as_oslo_config_reads_them() -> None:
    assert [ini(value) for value in (True, 3, ["a", "b"], [], "x")] == ["True", "3", "a, b", "", "x"]
