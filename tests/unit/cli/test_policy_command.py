"""`skybus policy`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from skybus.cli import parser, policy
from skybus.gateway.apis import policy_rules


def run(*words: str) -> int:
    return policy.main(parser().parse_args(["policy", *words]))


def test_what_is_printed_says_nothing_until_a_comment_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed) is None
    uncommented = "".join(line.removeprefix("# ") for line in printed.splitlines(keepends=True))
    assert yaml.safe_load(uncommented) == dict(policy_rules())


def test_a_file_is_checked_without_a_cloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("identity:get_user: 'role:reader'\n")
    assert run("--check", str(path)) == 0
    assert capsys.readouterr().out == ""
    path.write_text("identity:get_usr: 'role:reader'\n")
    assert run("--check", str(path)) == 0
    assert "no route asks for identity:get_usr" in capsys.readouterr().out
    for text in ("identity:get_user: 'rule:nowhere'", "a: [", "identity:get_user: 7"):
        path.write_text(text)
        assert run("--check", str(path)) == 1
        assert capsys.readouterr().err.startswith(f"skybus policy: {path}: ")
    assert run("--check", str(tmp_path / "missing.yaml")) == 1
