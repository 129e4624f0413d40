"""Which OpenID providers a cloud believes is said in its configuration, and nonsense is found at start."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from skybus.config import ConfigError, Gateway, OpenIdProvider, openid_providers

FIRST = OpenIdProvider(issuer="https://a.example", client_id="c", client_secret="canary-of-this-test")


def test_providers_come_from_the_section_and_from_a_file_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "openid.toml"
    gateway = Gateway(openid=[FIRST], openid_file=file)
    assert openid_providers(gateway) == [FIRST]
    file.write_text('[[openid]]\nissuer = "https://b.example"\naudience = ["us"]\nca_file = "/ca.pem"\n')
    second = openid_providers(gateway)[1]
    assert (second.issuer, second.audience, second.ca_file) == ("https://b.example", ["us"], Path("/ca.pem"))
    assert openid_providers(Gateway()) == []


@pytest.mark.parametrize("text", ["[[openid]]\n", "[[open]]\n", "[[openid]]\nissuer = 7\n", "nonsense", "\x00"])
def test_a_file_that_cannot_be_meant_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "openid.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="openid"):
        openid_providers(Gateway(openid_file=file))


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://a.example", "client_id": "c"},
        {"issuer": "ftp://a.example", "client_id": "c"},
        {"issuer": "https://a.example"},
        {"issuer": "https://a.example", "client_id": "c", "unknown": 1},
    ],
)
def test_a_provider_that_could_not_be_believed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, OpenIdProvider)


def test_its_secret_is_printed_nowhere() -> None:
    """Security class 18."""
    assert "canary-of-this-test" not in f"{FIRST}{FIRST!r}{[FIRST]}{Gateway(openid=[FIRST])}"
