"""Who may do what with trusts, access rules and OAuth 1.0a: Keystone's rule names and its secure defaults."""

from __future__ import annotations

_READER = "rule:admin_required or (role:reader and system_scope:all)"
_TRUSTOR = "user_id:%(target.trust.trustor_user_id)s"
_TRUSTEE = "user_id:%(target.trust.trustee_user_id)s"

RULES: dict[str, str] = {
    # trusts
    "identity:create_trust": "user_id:%(target.trust.trustor_user_id)s",
    "identity:list_trusts": _READER,
    "identity:list_trusts_for_trustor": f"{_READER} or {_TRUSTOR}",
    "identity:list_trusts_for_trustee": f"{_READER} or {_TRUSTEE}",
    "identity:list_roles_for_trust": f"{_READER} or {_TRUSTOR} or {_TRUSTEE}",
    "identity:get_role_for_trust": f"{_READER} or {_TRUSTOR} or {_TRUSTEE}",
    "identity:get_trust": f"{_READER} or {_TRUSTOR} or {_TRUSTEE}",
    "identity:delete_trust": f"rule:admin_required or {_TRUSTOR}",
    # access rules
    "identity:get_access_rule": "(role:reader and system_scope:all) or rule:target_owner",
    "identity:list_access_rules": "(role:reader and system_scope:all) or rule:target_owner",
    "identity:delete_access_rule": "(role:admin and system_scope:all) or rule:target_owner",
    # OAuth 1.0a
    "identity:get_consumer": _READER,
    "identity:list_consumers": _READER,
    "identity:create_consumer": "rule:admin_required",
    "identity:update_consumer": "rule:admin_required",
    "identity:delete_consumer": "rule:admin_required",
    "identity:authorize_request_token": "rule:admin_required",
    "identity:get_access_token": "rule:admin_required",
    "identity:get_access_token_role": "rule:admin_required",
    "identity:list_access_tokens": "rule:admin_required",
    "identity:list_access_token_roles": "rule:admin_required",
    "identity:delete_access_token": "rule:admin_required",
}
