"""How much one namespace may hold: showing it shows everything in it."""

from __future__ import annotations

from typing import Any

from skybus.errors import TooLarge

MAX_BYTES = 1 << 20
MOST = {"objects": 256, "properties": 1024, "tags": 1024, "resource types": 64}
HELD = """
SELECT (SELECT count(*) FROM image.metadef_object WHERE namespace = $1) AS objects,
       (SELECT count(*) FROM image.metadef_property WHERE namespace = $1) AS properties,
       (SELECT count(*) FROM image.metadef_tag WHERE namespace = $1) AS tags,
       (SELECT count(*) FROM image.metadef_association WHERE namespace = $1) AS "resource types",
       (SELECT COALESCE(sum(octet_length(properties::text) + octet_length(required::text)
                            + COALESCE(octet_length(description), 0)), 0)
          FROM image.metadef_object WHERE namespace = $1)
       + (SELECT COALESCE(sum(octet_length(definition::text)), 0)
            FROM image.metadef_property WHERE namespace = $1) AS bytes
"""


async def check_room(tx: Any, namespace: str) -> None:
    """After something was added under the namespace's lock: may it hold so much? Raises TooLarge."""
    held = await tx.fetchrow(HELD, namespace)
    for kind, most in MOST.items():
        if held[kind] > most:
            raise TooLarge(f"A namespace may have {most} {kind}.")
    if held["bytes"] > MAX_BYTES:
        raise TooLarge(f"The definitions in a namespace may have {MAX_BYTES} bytes together.")
