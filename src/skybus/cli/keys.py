"""`skybus keys`: the steps of a rotation. `ops/rotate-keys` takes them in order; by hand they are for clouds whose
gateways have copies of the folders, which are to be brought up to date between the steps."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skybus import clock
from skybus.config import Config, load
from skybus.identity.auth.keys import key_number, key_promote, key_stage, keys_superseded
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.credentials.credentials_reseal import credential_keys_in_use, credentials_reseal
from skybus.messages.identity_credentials import KeysChanged
from skybus.store import Store

SLACK = timedelta(minutes=5)
"""For clocks that differ, and for requests in hand when a key stops to be the newest."""

Told = dict[str, Any]
"""What a step did."""


def main(args: argparse.Namespace) -> int:
    """Take the steps, and say in JSON what they did. Raises CloudError or ConfigError."""
    print(json.dumps(asyncio.run(_run(load(args.config), args.kind, args.steps))))
    return 0


async def _run(config: Config, kind: str, steps: Sequence[str]) -> Told:
    store = Store(config.need_database(), "keys")
    await store.open()
    told: Told = {}
    try:
        for step in steps:
            told |= await rotation_step(store, config, kind, step)
    finally:
        await store.close()
    return told


async def rotation_step(store: Store, config: Config, kind: str, step: str) -> Told:
    """Take one step, and answer what it did. Raises Unavailable or ConfigError."""
    gateway = config.gateway
    folder = gateway.token_key_dir if kind == "tokens" else gateway.credential_key_dir
    if step == "stage":
        return await _tell(store, kind, "staged", [key_stage(folder)])
    if step == "promote":
        promoted = key_promote(folder)
        return await _tell(store, kind, "promoted", [promoted] if promoted is not None else [])
    if step == "reseal":
        return await _reseal(store, kind, folder)
    return await _retire(store, config, kind, folder)


async def _tell(store: Store, kind: str, change: str, paths: Iterable[Path]) -> Told:
    """Let every gateway look at its folder."""
    numbers = [key_number(path) for path in paths]
    if numbers:
        async with store.transaction() as tx:
            tx.publish(KeysChanged(kind=kind, change=change, number=numbers[-1]), project_id="")
    return {change: numbers}


async def _reseal(store: Store, kind: str, folder: Path) -> Told:
    """Tokens are not stored: there is nothing to do for them."""
    if kind == "tokens":
        return {"resealed": 0, "failed": 0}
    done, failed = await credentials_reseal(store, CredentialKeys(folder))
    return {"resealed": done, "failed": failed}


async def _retire(store: Store, config: Config, kind: str, folder: Path) -> Told:
    """Delete the keys without which nothing is lost; say from when on the others can be."""
    used = await credential_keys_in_use(store) if kind == "credentials" else set()
    retired: list[Path] = []
    waiting: dict[int, str] = {}
    for path, since in keys_superseded(folder):
        needed_until = since + _lifetime(config, kind) + SLACK
        if key_number(path) in used:
            waiting[key_number(path)] = "for what it encrypts"
        elif needed_until > clock.now():
            waiting[key_number(path)] = f"until {_shown(needed_until)}"
        else:
            path.unlink()
            retired.append(path)
    return {**await _tell(store, kind, "retired", retired), "waiting": waiting}


def _lifetime(config: Config, kind: str) -> timedelta:
    """How long what a key made may be shown to us after it was made."""
    if kind == "credentials":
        return timedelta()
    return timedelta(seconds=config.gateway.token_seconds + config.identity.allow_expired_window)


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
