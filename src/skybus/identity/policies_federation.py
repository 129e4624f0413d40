"""Who may do what about federation and domains' own settings: Keystone's rule names and its defaults."""

from __future__ import annotations

_ADMIN = "rule:admin_required"
_READER = "rule:admin_required or (role:reader and system_scope:all)"

_NOUNS = {
    "identity_provider": "identity_providers",
    "mapping": "mappings",
    "protocol": "protocols",
    "service_provider": "service_providers",
}

RULES: dict[str, str] = {
    **{f"identity:get_{one}": _READER for one in _NOUNS},
    **{f"identity:list_{many}": _READER for many in _NOUNS.values()},
    **{f"identity:{verb}_{one}": _ADMIN for one in _NOUNS for verb in ("create", "update", "delete")},
    "identity:get_domain_config": _READER,
    "identity:get_domain_config_default": _READER,
    "identity:get_security_compliance_domain_config": "rule:identity:any_caller",
    "identity:create_domain_config": _ADMIN,
    "identity:update_domain_config": _ADMIN,
    "identity:delete_domain_config": _ADMIN,
}
