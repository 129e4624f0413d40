"""Keys, revocations and the memory of tokens, without a database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skybus import clock
from skybus.config import ConfigError
from skybus.errors import Unauthorized
from skybus.http.caller import Caller
from skybus.http.policy import Policy
from skybus.http.routes import PUBLIC, check_routes
from skybus.identity import RULES, Tokens, api, key_create, keys_ensure
from skybus.identity.auth.keys import Keys
from skybus.identity.auth.revocations import Revocations
from skybus.identity.catalog.catalog import Catalog, catalog_view
from skybus.identity.catalog.endpoints import unknown_variables
from skybus.identity.delegation.application_credentials import _fast
from skybus.identity.login.passwords import check_now, hash_now
from skybus.messages.identity import Revocation


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A folder with one key."""
    keys_ensure(tmp_path / "keys")
    return Keys(tmp_path / "keys")


def issue(tokens: Tokens, revision: int = 5, **more: Any) -> str:
    """A token for user u on project p."""
    said = {"project_id": "p", "project_domain_id": "d2", "roles": ("member", "reader"), **more}
    return tokens.issue(user_id="u", user_domain_id="d1", methods=("password",), revision=revision, **said)[0]


def test_a_key_is_for_its_owners_eyes_alone(tmp_path: Path) -> None:
    path = key_create(tmp_path / "keys")
    assert path.stat().st_mode & 0o777 == 0o600
    keys_ensure(tmp_path / "keys")
    assert len(list((tmp_path / "keys").iterdir())) == 1
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="600"):
        Keys(tmp_path / "keys")


def test_no_key_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        Keys(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="bootstrap"):
        Keys(tmp_path)


async def test_keys_rotate_without_a_failed_request(keys: Keys) -> None:
    here, there = Tokens(keys), Tokens(Keys(keys.folder))
    old = issue(here)
    key_create(keys.folder)
    new = issue(here)
    for tokens in (here, there):
        assert (await tokens.authenticate(new)).user_id == "u"
        assert (await tokens.authenticate(old)).user_id == "u"
    (keys.folder / "000001.key").unlink()
    late = Tokens(Keys(keys.folder))
    assert (await late.authenticate(new)).user_id == "u"
    with pytest.raises(Unauthorized):
        await late.authenticate(old)


def test_more_revocations_than_memory_has_room_for_end_all_older_tokens_and_no_newer_one(keys: Keys) -> None:
    """Security class 16."""
    tokens = Tokens(keys, Revocations(most=100))
    older, newer = (tokens.claims(issue(tokens, revision)) for revision in (5, 200))
    image = tokens.claims(tokens.issue_image_token("i"))
    ends = clock.now() + timedelta(hours=1)
    for revision in range(6, 106):
        tokens.revocations.apply([Revocation(revision=revision, expires_at=ends, audit_id=f"another-{revision}")])
    assert not tokens.revocations.covers(older)
    tokens.revocations.apply([Revocation(revision=106, expires_at=ends, audit_id="one-too-many")])
    assert len(tokens.revocations) == 0
    assert tokens.revocations.covers(older)
    assert not tokens.revocations.covers(newer)
    assert not tokens.revocations.covers(image)
    tokens.revocations.apply([Revocation(revision=201, expires_at=ends, user_id="u")])
    assert tokens.revocations.covers(newer)


def test_what_has_expired_makes_room_first(keys: Keys) -> None:
    tokens = Tokens(keys, Revocations(most=10))
    token = tokens.claims(issue(tokens, 5))
    gone, ends = clock.now() - timedelta(seconds=1), clock.now() + timedelta(hours=1)
    tokens.revocations.apply([Revocation(revision=6, expires_at=gone, audit_id=f"old-{n}") for n in range(10)])
    tokens.revocations.apply([Revocation(revision=7, expires_at=ends, audit_id=f"new-{n}") for n in range(10)])
    assert len(tokens.revocations) == 10
    assert not tokens.revocations.covers(token)


@pytest.mark.parametrize(
    ("match", "covered"),
    [
        ({"user_id": "u"}, True),
        ({"user_id": "v"}, False),
        ({"target": "p"}, True),
        ({"target": "q"}, False),
        ({"user_id": "u", "target": "p"}, True),
        ({"user_id": "u", "target": "q"}, False),
        ({"user_id": "v", "target": "p"}, False),
        ({"domain_id": "d1"}, True),
        ({"domain_id": "d2"}, True),
        ({"domain_id": "d3"}, False),
        ({"role": "reader"}, True),
        ({"role": "admin"}, False),
        ({"delegation_id": "c"}, False),
    ],
)
def test_a_revocation_covers_what_matches_all_its_fields(keys: Keys, match: dict[str, str], covered: bool) -> None:
    tokens = Tokens(keys)
    before, after = (tokens.claims(issue(tokens, revision)) for revision in (5, 6))
    tokens.revocations.apply([Revocation(revision=6, expires_at=clock.now() + timedelta(hours=1), **match)])
    assert tokens.revocations.covers(before) is covered
    assert not tokens.revocations.covers(after)


def test_revocations_are_forgotten_when_they_can_matter_no_more() -> None:
    revocations, began = Revocations(), clock.now()
    revocations.apply(
        [Revocation(revision=1, expires_at=began + timedelta(hours=1), audit_id=str(n)) for n in range(9)]
    )
    assert len(revocations) == 9
    clock.use(lambda: began + timedelta(hours=2))
    try:
        revocations.apply([])
    finally:
        clock.use(None)
    assert len(revocations) == 0


async def test_the_memory_of_tokens_is_bounded(keys: Keys) -> None:
    tokens = Tokens(keys, remembered=10)
    made = [issue(tokens) for _ in range(50)]
    for token in made:
        await tokens.authenticate(token)
    assert len(tokens._known) == 10
    assert (await tokens.authenticate(made[0])).user_id == "u"


def test_a_token_made_from_a_token_ends_with_it(keys: Keys) -> None:
    tokens = Tokens(keys, seconds=3600)
    parent = tokens.claims(issue(tokens, expires_at=int(clock.now().timestamp()) + 60))
    child = tokens.claims(issue(tokens, parent=parent))
    assert child.expires_at == parent.expires_at
    assert child.audit_ids[1] == parent.audit_ids[0]


def test_passwords_count_beyond_72_bytes_and_behind_a_nul() -> None:
    hashed = hash_now("x" * 80 + "\x00a", 4)
    assert check_now("x" * 80 + "\x00a", hashed)
    assert not check_now("x" * 80 + "\x00b", hashed)
    assert not check_now("x" * 80, hashed)
    assert not check_now("x", "no hash")
    assert _fast("a") != _fast("b")


def test_every_route_says_who_may_and_what_it_takes() -> None:
    check_routes([api()], Policy(RULES))
    assert {route.path for route in api().routes if route.policy == PUBLIC} == {
        "",
        "/v3",
        "/v3/auth/tokens",
        "/v3/users/{user_id}/password",
        "/v3/OS-OAUTH1/request_token",
        "/v3/OS-OAUTH1/access_token",
        "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth",
    }


def test_nobody_without_a_role_is_let_in_by_a_rule_about_others() -> None:
    policy = Policy(RULES)
    nobody = Caller(user_id="u", project_id="p", project_domain_id="d")
    anybody = {name for name, text in RULES.items() if text in ("@", "rule:identity:any_caller")}
    theirs = {"target.user.id": "v", "target.project.id": "q", "target.domain.id": "e", "target.token.user_id": "v"}
    aliases = {"owner", "admin_or_owner"}
    allowed = {name for name in RULES if policy.allows(name, nobody, theirs)}
    assert allowed - aliases == anybody


def test_an_endpoint_that_needs_a_project_is_left_out_without_one() -> None:
    row = {"service_id": "s", "type": "t", "name": "n", "id": "e", "interface": "public", "region_id": "r"}
    catalog = Catalog(rows=[{**row, "url": "http://x/$(project_id)s"}], chosen={})
    assert catalog_view(catalog, user_id="u", project_id=None)[0]["endpoints"] == []
    assert catalog_view(catalog, user_id="u", project_id="p")[0]["endpoints"][0]["url"] == "http://x/p"
    assert unknown_variables("http://x/$(password)s/%(tenant_id)s") == ["password"]
