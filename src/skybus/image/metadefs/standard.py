"""The namespaces that every cloud has: what Skybus, and what OpenStack's other services, understand on their things.

One file a namespace in `data/`, in the form of the body that creates it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from skybus.http import schemas
from skybus.image.metadefs.announcements import announce
from skybus.image.metadefs.contents import contents_insert
from skybus.image.metadefs.namespaces import namespace_get, namespace_insert

FOLDER = Path(__file__).resolve().parent / "data"
OWNER = "admin"


def documents() -> Iterator[dict[str, Any]]:
    """Each namespace with everything in it. Raises BadRequest for one that the API would refuse."""
    for path in sorted(FOLDER.glob("*.json")):
        said: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        schemas.check("image/metadef-namespace-create", said)
        yield said


async def bootstrap(tx: Any) -> list[str]:
    """Make the standard namespaces that are missing; answer their names. What an operator has changed in one that is
    there stays as it is."""
    made = []
    for said in documents():
        if await namespace_get(tx, said["namespace"]) is not None:
            continue
        namespace = await namespace_insert(tx, said, OWNER)
        if namespace is not None:
            await contents_insert(tx, namespace.namespace, said)
            announce(tx, namespace, "namespace", "created")
            made.append(namespace.namespace)
    return made
