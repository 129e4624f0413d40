"""Security class 18: what people show to log in is in no log, no event, no answer to others, however wrong it was."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud
from login_settings import change, obey

from skybus.store import Store

CANARY = "canary-77f1"


def attempts(user: Any) -> list[dict[str, Any]]:
    """Logins that show a secret, some of which nobody can understand."""
    who = {"id": user["id"]}
    return [
        {"methods": ["password"], "password": {"user": {**who, "password": CANARY}}},
        {"methods": ["password"], "password": {"user": {**who, "password": CANARY * 1000}}},
        {"methods": ["password"], "password": {"user": {**who, "password": [CANARY]}}},
        {"methods": ["password"], "password": {"password": CANARY}},
        {"methods": ["password"], "password": CANARY},
        {"methods": ["totp"], "totp": {"user": {**who, "passcode": CANARY}}},
        {"methods": ["totp"], "totp": {"user": {**who, "passcode": CANARY * 10}}},
        {"methods": ["token"], "token": {"id": CANARY}},
        {"methods": ["token"], "token": {"id": {"token": CANARY}}},
        {"methods": ["application_credential"], "application_credential": {"id": "0" * 32, "secret": CANARY}},
        {"methods": ["application_credential"], "application_credential": {"id": "0" * 32, "secret": {"a": CANARY}}},
        {"methods": ["password", "totp"], "password": {"user": {**who, "password": CANARY}}},
    ]


async def test_a_shown_secret_is_written_down_nowhere(
    cloud: Cloud, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    obey(cloud, lockout_failure_attempts=2)
    user = await cloud.made("user", password=PASSWORD)
    said = []
    for identity in attempts(user):
        answer = await cloud.auth(identity)
        assert answer.status in (400, 401, 404), answer
        said.append(answer.data.decode())
    said.append((await change(cloud, user, CANARY, CANARY + "2")).data.decode())
    said.append((await change(cloud, user, CANARY, CANARY * 1000)).data.decode())
    for wrong in ({"password": [CANARY]}, {"password": CANARY * 1000}, {"name": 7, "password": CANARY}):
        said.append((await cloud.call("PATCH", f"/users/{user['id']}", {"user": wrong})).data.decode())
    logged = capsys.readouterr()
    assert "identity/v3/auth/tokens" in logged.out + logged.err
    assert "canary" not in logged.out + logged.err
    assert "canary" not in "".join(said)
    await cloud.identity.journal.write()
    tables = await store.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('bus', 'identity')"
    )
    for table in tables:
        rows = await store.fetch(f"SELECT t::text AS row FROM {table['name']} t WHERE t::text LIKE '%canary%'")
        assert rows == [], table["name"]
