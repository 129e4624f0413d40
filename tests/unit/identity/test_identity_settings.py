"""Settings by which tokens would be believed for too long are refused when a process starts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from skybus.config import Config, ConfigError, Gateway, Identity, load
from skybus.identity.auth.revocations import KEEP

LONGEST = 172_800


@pytest.mark.parametrize(
    "line",
    ["token_seconds = 172801", "token_seconds = 0", "revocation_trust_seconds = 0.5", "revocation_trust_seconds = 301"],
)
def test_what_makes_tokens_outlive_their_revocation_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "skybus.toml"
    path.write_text(f"[gateway]\n{line}\n")
    with pytest.raises(ConfigError, match=line.split()[0]):
        load(path)


def test_revocations_are_kept_for_as_long_as_any_token_can_be_looked_at() -> None:
    longest = Gateway(token_seconds=LONGEST).token_seconds + Identity(allow_expired_window=LONGEST).allow_expired_window
    assert timedelta(seconds=longest) <= KEEP


def test_the_defaults_are_allowed() -> None:
    assert Config().gateway.token_seconds == 3600
