"""What a new cloud has: everything that `skybus bootstrap` makes, and puts back when it is missing."""

from __future__ import annotations

from skybus.compute import flavors
from skybus.config import Config
from skybus.identity.auth.keys import keys_ensure
from skybus.identity.bootstrap import bootstrap as identity_bootstrap
from skybus.image.metadefs import standard
from skybus.store import Tx
from skybus.volume import types


async def bootstrap(tx: Tx, config: Config, *, admin_password: str) -> None:
    """The administrator with roles and catalog, the flavors, the default volume type, the standard metadata
    definitions, the keys."""
    keys_ensure(config.gateway.token_key_dir)
    keys_ensure(config.gateway.credential_key_dir)
    await identity_bootstrap(
        tx,
        admin_password=admin_password,
        public_url=config.gateway.url,
        rounds=config.gateway.password_rounds,
    )
    await flavors.bootstrap(tx)
    await types.bootstrap(tx)
    await standard.bootstrap(tx)
