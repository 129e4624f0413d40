"""Who is calling: what a token says, once it has been believed."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from skybus.bus.message import Discreet


class Caller(Discreet, frozen=True, kw_only=True):
    """An authenticated caller and the scope it acts in. At most one of project, domain and system is set."""

    SECRETS: ClassVar[tuple[str, ...]] = ("token",)

    user_id: str
    user_domain_id: str = "default"
    project_id: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    roles: frozenset[str] = frozenset()
    """Role names, implied ones included."""
    audit_ids: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    token: str = ""
    """The token itself, for calls on the caller's behalf; never logged."""
    image_id: str | None = None
    """Set on a host's token that may read one image and nothing else."""
    ruled_by: str | None = None
    """Set when access rules say which requests may be made: of the delegation with this id."""

    def credentials(self) -> dict[str, object]:
        """What policy rules may compare with."""
        return {
            "user_id": self.user_id,
            "user_domain_id": self.user_domain_id,
            "project_id": self.project_id,
            "project_domain_id": self.project_domain_id,
            "domain_id": self.domain_id,
            "system_scope": "all" if self.system else None,
            "roles": self.roles,
        }
