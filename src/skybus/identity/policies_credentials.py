"""Who may do what with credentials and signed requests: Keystone's rule names and defaults."""

from __future__ import annotations

_OWNER = "user_id:%(target.credential.user_id)s"
_READER = f"rule:admin_required or (role:reader and system_scope:all) or {_OWNER}"
_WRITER = f"rule:admin_required or {_OWNER}"
_MEMBER = f"rule:admin_required or (role:member and {_OWNER})"

RULES: dict[str, str] = {
    "identity:get_credential": _READER,
    "identity:list_credentials": _READER,
    "identity:create_credential": _WRITER,
    "identity:update_credential": _WRITER,
    "identity:delete_credential": _WRITER,
    "identity:ec2_get_credential": _READER,
    "identity:ec2_list_credentials": "rule:admin_required or (role:reader and system_scope:all) or rule:owner",
    "identity:ec2_create_credential": _MEMBER,
    "identity:ec2_delete_credential": _MEMBER,
    # whoever may do this learns roles and projects of the owner of a key, and can try signatures
    "identity:ec2tokens_validate": "rule:service_or_admin",
    "identity:s3tokens_validate": "rule:service_or_admin",
}
