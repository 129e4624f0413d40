"""How limits of domains and projects bind each other: the enforcement models, by Keystone's names."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from skybus.config import ConfigError
from skybus.errors import Forbidden
from skybus.store import Store, Tx

BEYOND = """
SELECT c.target_id, c.resource_limit, r.resource_name, p.parent_id,
       COALESCE(up.resource_limit, r.default_limit) AS above
  FROM identity."limit" c
  JOIN identity.registered_limit r ON r.id = c.registered_limit_id
  JOIN identity.project p ON p.id = c.target_id AND NOT p.is_domain
  LEFT JOIN identity."limit" up ON up.registered_limit_id = c.registered_limit_id AND up.target_id = p.parent_id
 WHERE (c.id = ANY($1::text[]) OR up.id = ANY($1::text[]))
   AND COALESCE(up.resource_limit, r.default_limit) <> -1
   AND (c.resource_limit = -1 OR c.resource_limit > COALESCE(up.resource_limit, r.default_limit))
 ORDER BY c.id LIMIT 1
"""
# A project below a project: the third level, the domain being the first.
TOO_DEEP = """
SELECT p.id FROM identity.project p JOIN identity.project up ON up.id = p.parent_id WHERE NOT up.is_domain
 ORDER BY p.id LIMIT 1
"""


class LimitModel(msgspec.Struct, frozen=True, kw_only=True):
    """One way to read limits. `strict` minds the tree: no project may have more than its domain has."""

    name: str
    description: str
    strict: bool
    deepest: int | None
    """Levels of the tree, the domain's included; None is as many as there may be at all."""

    async def check(self, tx: Tx, limit_ids: Sequence[str]) -> None:
        """Raises Forbidden when one of these limits, as they are in `tx` now, is above its parent's or below a child's.

        Each child is held against its parent, not their sum: what they own together is counted where it is used.
        """
        if not self.strict:
            return
        row = await tx.fetchrow(BEYOND, list(limit_ids))
        if row is not None:
            raise Forbidden(
                f"Invalid resource limit: {row['resource_name']} of the project {row['target_id']} would be "
                f"{row['resource_limit']}, and of its parent {row['parent_id']} it is {row['above']}."
            )

    def check_place(self, parent_id: str | None, domain_id: str | None) -> None:
        """Raises Forbidden for a project whose place in the tree the model does not know."""
        if self.deepest is not None and parent_id != domain_id:
            raise Forbidden(
                f"With the limit model {self.name}, a project can be right below its domain and not deeper."
            )

    async def check_tree(self, store: Store | Tx) -> None:
        """Raises ConfigError when there are projects deeper than the model knows: it cannot be switched on then."""
        if self.deepest is not None and (found := await store.fetchval(TOO_DEEP)) is not None:
            raise ConfigError(
                f"the limit model {self.name} allows projects {self.deepest} levels deep, domains being the first, and "
                f"the project {found} is deeper: choose another limit_model"
            )


FLAT = LimitModel(
    name="flat",
    description="A limit concerns its own project or domain alone; where that stands in the tree does not matter.",
    strict=False,
    deepest=None,
)
STRICT_TWO_LEVEL = LimitModel(
    name="strict_two_level",
    description="A domain and the projects right below it share what the domain may own; there is no third level.",
    strict=True,
    deepest=2,
)
MODELS = {model.name: model for model in (FLAT, STRICT_TWO_LEVEL)}
