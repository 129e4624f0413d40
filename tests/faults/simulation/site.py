"""What seeds share: a database with the furniture of a new cloud, emptied before each seed; keys; a folder."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from simulation.database import Database
from simulation.dice import entropy
from skybus import clock
from skybus.compute import flavors
from skybus.compute.instance_identity import InstanceIdentity
from skybus.config import Database as DatabaseConfig
from skybus.identity.auth.keys import keys_ensure
from skybus.image.images import Image, image_get, image_insert
from skybus.image.uploads import Received, upload_begin, upload_finish
from skybus.store import Store
from skybus.volume import types
from support.databases import database as own_database

TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
 WHERE schemaname = ANY($1) AND tablename NOT LIKE '%migration%' ORDER BY 1
"""
SCHEMAS = (
    "bus", "compute", "conductor", "identity", "image", "metering", "network", "placement", "saga", "volume",
)  # fmt: skip
IMAGE_ID = "01900000-0000-7000-8000-000000000001"
FURNISHED_AT = datetime(2029, 12, 31, tzinfo=UTC)


class Site:
    """See the module."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        keys_ensure(folder)
        InstanceIdentity.load(folder)
        self.tables: list[str] = []
        self.kept: list[str] = []

    def keep(self) -> None:
        """Remember the furniture, and let Postgres do nothing by itself."""
        self.tables = [row["name"] for row in self.database.rows(TABLES, list(SCHEMAS))]
        self.database.ask("CREATE SCHEMA furniture")
        for table in self.tables:
            self.database.ask(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            self.database.ask(f"CREATE TABLE furniture.{_flat(table)} AS TABLE {table}")
            if self.database.ask(f"SELECT count(*) FROM {table}"):
                self.kept.append(table)

    def reset(self) -> None:
        """As it was when the furniture had just come."""
        database = self.database
        database.free_all()
        script = f"TRUNCATE {', '.join(self.tables)} RESTART IDENTITY CASCADE;"
        for table in self.kept:
            script += f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE furniture.{_flat(table)};"
        database.drive(database.monitor.conn.execute(script))


def _flat(table: str) -> str:
    return table.replace(".", "_").replace('"', "")


async def _furnish(dsn: str) -> None:
    store = Store(DatabaseConfig(dsn=dsn, pool_size=2), "furnish")
    await store.open()
    try:
        store.on_owed = lambda owed: None
        async with store.transaction() as tx:
            await flavors.bootstrap(tx)
            await types.bootstrap(tx)
        now = clock.now()
        image = Image(
            id=IMAGE_ID, owner="p0", name="tiny", status="queued", visibility="public", disk_format="qcow2",
            container_format="bare", min_disk=0, min_ram=0, protected=False, os_hidden=False, tags=[],
            properties={}, size=None, virtual_size=None, checksum=None, os_hash_value=None, data_name=None,
            created_at=now, updated_at=now,
        )  # fmt: skip
        async with store.transaction() as tx:
            await image_insert(tx, image)
            upload_id = await upload_begin(tx, await image_get(tx, image.id))
            received = Received(size=1000, virtual_size=1 << 27, md5="0" * 32, sha512="0" * 128)
            await upload_finish(tx, image, upload_id, received)
        await store.execute("DELETE FROM bus.outbox; DELETE FROM bus.event; UPDATE bus.event_head SET position = 0")
    finally:
        await store.close()


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A site with a database of its own on the test server, removed afterwards."""
    real = asyncio.new_event_loop()
    made = own_database()
    try:
        dsn = real.run_until_complete(made.__aenter__())
        try:
            with entropy(random.Random(0)):
                clock.use(lambda: FURNISHED_AT)
                real.run_until_complete(_furnish(dsn))
            opened = Database(dsn)
            try:
                here = Site(opened, folder)
                here.keep()
                yield here
            finally:
                opened.close()
        finally:
            clock.use(None)
            real.run_until_complete(made.__aexit__(None, None, None))
    finally:
        real.close()
