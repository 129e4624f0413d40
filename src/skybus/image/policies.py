"""Who may do what with images: OpenStack's rule names, its secure-RBAC defaults.

Owners are compared as `project_id`. Before a handler runs, the front holds a rule against the caller's own project; the
handler holds it against the image.
"""

from __future__ import annotations

from skybus.image.policies_metadefs import RULES as METADEF_RULES

ADMIN = "role:admin"
OWNER_MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
OWNER_READER = "role:admin or (role:reader and project_id:%(project_id)s)"
SEEN = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s "
    "or 'shared':%(visibility)s)"
)
SHARED_READER = "role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))"

RULES: dict[str, str] = {
    "add_image": OWNER_MEMBER,
    "delete_image": OWNER_MEMBER,
    "get_image": f"role:admin or (role:reader and {SEEN})",
    "get_images": OWNER_READER,
    "modify_image": OWNER_MEMBER,
    "publicize_image": ADMIN,
    "communitize_image": OWNER_MEMBER,
    "download_image": f"role:admin or role:service or (role:member and {SEEN})",
    "upload_image": OWNER_MEMBER,
    "deactivate": OWNER_MEMBER,
    "reactivate": OWNER_MEMBER,
    "add_member": OWNER_MEMBER,
    "delete_member": OWNER_MEMBER,
    "get_member": SHARED_READER,
    "get_members": SHARED_READER,
    "modify_member": "role:admin or (role:member and project_id:%(member_id)s)",
    "stores_info_detail": ADMIN,
    **METADEF_RULES,
}
