"""What every handler of metadata definitions asks first: may the caller see the namespace, and change it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call
from skybus.image.metadefs.namespaces import Namespace, namespace_get, not_found

FRONT = "get_metadef_namespace"
"""What the front asks of all that names a namespace. What a handler does is asked once the namespace is found: somebody
else's private one is not there, for whatever purpose."""


async def seen_namespace(call: Call, store: Any, rule: str) -> Namespace:
    """The namespace that the path names, if the caller may do `rule` to it. Raises NotFound when it may not even know
    of it, Forbidden when it may not touch it."""
    return await _found(call, store, rule, lock=False)


async def own_namespace(call: Call, tx: Any, rule: str) -> Namespace:
    """Like `seen_namespace`, and nobody else changes what is in it before the transaction ends."""
    return await _found(call, tx, rule, lock=True)


async def _found(call: Call, store: Any, rule: str, *, lock: bool) -> Namespace:
    name = call.args["namespace"]
    found = await namespace_get(store, name, lock=lock)
    if found is None or not is_visible(call, found):
        raise not_found(name)
    require(call, found, rule)
    return found


def is_visible(call: Call, found: Namespace) -> bool:
    """Whether the caller may know of the namespace at all, whatever the policy says."""
    admin = "admin" in call.caller.roles
    return admin or found.visibility == "public" or found.owner == call.caller.project_id


def require(call: Call, found: Namespace, rule: str) -> None:
    """Hold a rule against a namespace. Raises NotFound when the caller may not even get it, else Forbidden."""
    if not permits(call, found, rule) and not permits(call, found, "get_metadef_namespace"):
        raise not_found(found.namespace)
    call.require(rule, **_target(found))


def permits(call: Call, found: Namespace, rule: str) -> bool:
    """Whether the caller may do `rule` to the namespace."""
    return call.permits(rule, **_target(found))


def _target(found: Namespace) -> dict[str, str]:
    return {"project_id": found.owner, "visibility": found.visibility}


def refuse_protected(found: Namespace, what: str) -> None:
    """Raises Forbidden when nothing may be deleted from the namespace; `what` names what should have been."""
    if found.protected:
        raise Forbidden(f"Metadata definition {what[:200]} is protected and cannot be deleted.")


def refuse_read_only(body: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raises Forbidden when a body says what only we say."""
    for name in names:
        if name in body:
            raise Forbidden(f"Attribute '{name}' is read-only.")
