"""Who may do what in Identity: Keystone's rule names and its secure defaults.

`rule:admin_required` and its sisters are shared by all packages. A rule about somebody's own things compares with
`target.*`, which the handlers supply: their routes stand under `identity:any_caller`, and the handler asks for the rule
that the API names.
"""

from __future__ import annotations

from skybus.identity.policies_credentials import RULES as CREDENTIAL_RULES
from skybus.identity.policies_delegation import RULES as DELEGATION_RULES
from skybus.identity.policies_federation import RULES as FEDERATION_RULES

READER = "rule:admin_required or (role:reader and system_scope:all)"


def _domain_reader(domain: str) -> str:
    return f"{READER} or (role:reader and domain_id:%({domain})s)"


def _domain_manager(domain: str) -> str:
    return f"rule:admin_required or (role:manager and domain_id:%({domain})s)"


def _grant(role: str) -> str:
    pairs = [
        f"(role:{role} and domain_id:%({who}.domain_id)s and domain_id:%({where})s)"
        for who in ("target.user", "target.group")
        for where in ("target.project.domain_id", "target.domain.id")
    ]
    return "(" + " or ".join(pairs) + ")"


def _member_rule(role: str) -> str:
    everywhere = READER if role == "reader" else "rule:admin_required"
    both = "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s"
    return f"{everywhere} or (role:{role} and {both})"


# A role of the whole cloud has no domain, and the handler says so with an attribute of its own.
_ROLE_OF_DOMAIN = "(domain_id:%(target.role.domain_id)s or 'global':%(target.role.kind)s)"
_CHANGE_GRANT = (
    f"rule:admin_required or ({_grant('admin')} and {_ROLE_OF_DOMAIN}) "
    f"or ({_grant('manager')} and rule:domain_managed_target_role)"
)
_PROJECT_READER = _domain_reader("target.project.domain_id") + " or project_id:%(target.project.id)s"
_USER_READER = _domain_reader("target.user.domain_id") + " or user_id:%(target.user.id)s"
_CREDENTIAL_READER = f"{READER} or rule:target_owner"
_CREDENTIAL_WRITER = "rule:admin_required or rule:target_owner"

RULES: dict[str, str] = {
    **FEDERATION_RULES,
    # shared
    "admin_required": "role:admin",
    "service_role": "role:service",
    "service_or_admin": "rule:admin_required or rule:service_role",
    "owner": "user_id:%(user_id)s",
    "admin_or_owner": "rule:admin_required or rule:owner",
    "token_subject": "user_id:%(target.token.user_id)s",
    "admin_or_token_subject": "rule:admin_required or rule:token_subject",
    "service_admin_or_token_subject": "rule:service_or_admin or rule:token_subject",
    "target_owner": "user_id:%(target.user.id)s",
    "domain_managed_target_role": (
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s"
    ),
    # every token; those by which hosts read images reach no route of ours
    "identity:any_caller": "@",
    # tokens
    "identity:check_token": f"{READER} or rule:token_subject",
    "identity:validate_token": f"{READER} or rule:service_role or rule:token_subject",
    "identity:revoke_token": "rule:admin_or_token_subject",
    "identity:list_revoke_events": "rule:service_or_admin",
    "identity:get_auth_catalog": "rule:identity:any_caller",
    "identity:get_auth_projects": "rule:identity:any_caller",
    "identity:get_auth_domains": "rule:identity:any_caller",
    "identity:get_auth_system": "rule:identity:any_caller",
    # users
    "identity:get_user": _USER_READER,
    "identity:list_users": _domain_reader("target.domain_id"),
    "identity:create_user": _domain_manager("target.user.domain_id"),
    "identity:update_user": _domain_manager("target.user.domain_id"),
    "identity:delete_user": _domain_manager("target.user.domain_id"),
    "identity:list_user_projects": _USER_READER,
    # groups
    "identity:get_group": _domain_reader("target.group.domain_id"),
    "identity:list_groups": _domain_reader("target.group.domain_id"),
    "identity:list_groups_for_user": _USER_READER,
    "identity:create_group": _domain_manager("target.group.domain_id"),
    "identity:update_group": _domain_manager("target.group.domain_id"),
    "identity:delete_group": _domain_manager("target.group.domain_id"),
    "identity:list_users_in_group": _domain_reader("target.group.domain_id"),
    "identity:check_user_in_group": _member_rule("reader"),
    "identity:add_user_to_group": _member_rule("manager"),
    "identity:remove_user_from_group": _member_rule("manager"),
    # projects
    "identity:get_project": _PROJECT_READER,
    "identity:list_projects": _domain_reader("target.domain_id"),
    "identity:create_project": _domain_manager("target.project.domain_id"),
    "identity:update_project": _domain_manager("target.project.domain_id"),
    "identity:delete_project": _domain_manager("target.project.domain_id"),
    "identity:list_project_tags": _PROJECT_READER,
    "identity:get_project_tag": _PROJECT_READER,
    "identity:update_project_tags": _domain_manager("target.project.domain_id"),
    "identity:create_project_tag": _domain_manager("target.project.domain_id"),
    "identity:delete_project_tags": _domain_manager("target.project.domain_id"),
    "identity:delete_project_tag": _domain_manager("target.project.domain_id"),
    # domains
    "identity:get_domain": (f"{READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s"),
    "identity:list_domains": _domain_reader("target.domain.id"),
    "identity:create_domain": "rule:admin_required",
    "identity:update_domain": "rule:admin_required",
    "identity:delete_domain": "rule:admin_required",
    # roles
    "identity:get_role": f"{READER} or (role:manager and rule:domain_managed_target_role)",
    "identity:list_roles": f"{READER} or (role:manager and domain_id:%(domain_id)s)",
    "identity:create_role": "rule:admin_required",
    "identity:update_role": "rule:admin_required",
    "identity:delete_role": "rule:admin_required",
    "identity:get_domain_role": READER,
    "identity:list_domain_roles": READER,
    "identity:create_domain_role": "rule:admin_required",
    "identity:update_domain_role": "rule:admin_required",
    "identity:delete_domain_role": "rule:admin_required",
    "identity:get_implied_role": READER,
    "identity:check_implied_role": READER,
    "identity:list_implied_roles": READER,
    "identity:list_role_inference_rules": READER,
    "identity:create_implied_role": "rule:admin_required",
    "identity:delete_implied_role": "rule:admin_required",
    # grants
    "identity:check_grant": f"{READER} or ({_grant('reader')} and {_ROLE_OF_DOMAIN})",
    "identity:list_grants": f"{READER} or {_grant('reader')}",
    "identity:create_grant": _CHANGE_GRANT,
    "identity:revoke_grant": _CHANGE_GRANT,
    "identity:list_system_grants_for_user": READER,
    "identity:check_system_grant_for_user": READER,
    "identity:create_system_grant_for_user": "rule:admin_required",
    "identity:revoke_system_grant_for_user": "rule:admin_required",
    "identity:list_system_grants_for_group": READER,
    "identity:check_system_grant_for_group": READER,
    "identity:create_system_grant_for_group": "rule:admin_required",
    "identity:revoke_system_grant_for_group": "rule:admin_required",
    "identity:list_role_assignments": _domain_reader("target.domain_id"),
    "identity:list_role_assignments_for_tree": (
        _domain_reader("target.project.domain_id") + " or (role:admin and project_id:%(target.project.id)s)"
    ),
    # catalog
    "identity:get_region": "rule:identity:any_caller",
    "identity:list_regions": "rule:identity:any_caller",
    "identity:create_region": "rule:admin_required",
    "identity:update_region": "rule:admin_required",
    "identity:delete_region": "rule:admin_required",
    "identity:get_service": READER,
    "identity:list_services": READER,
    "identity:create_service": "rule:admin_required",
    "identity:update_service": "rule:admin_required",
    "identity:delete_service": "rule:admin_required",
    "identity:get_endpoint": READER,
    "identity:list_endpoints": READER,
    "identity:create_endpoint": "rule:admin_required",
    "identity:update_endpoint": "rule:admin_required",
    "identity:delete_endpoint": "rule:admin_required",
    # what projects are given of the catalog
    "identity:list_endpoint_groups": READER,
    "identity:get_endpoint_group": READER,
    "identity:list_projects_associated_with_endpoint_group": READER,
    "identity:list_endpoints_associated_with_endpoint_group": READER,
    "identity:get_endpoint_group_in_project": READER,
    "identity:list_endpoint_groups_for_project": READER,
    "identity:list_projects_for_endpoint": READER,
    "identity:check_endpoint_in_project": READER,
    "identity:list_endpoints_for_project": READER,
    "identity:create_endpoint_group": "rule:admin_required",
    "identity:update_endpoint_group": "rule:admin_required",
    "identity:delete_endpoint_group": "rule:admin_required",
    "identity:add_endpoint_group_to_project": "rule:admin_required",
    "identity:remove_endpoint_group_from_project": "rule:admin_required",
    "identity:add_endpoint_to_project": "rule:admin_required",
    "identity:remove_endpoint_from_project": "rule:admin_required",
    # policies of services
    "identity:get_policy": READER,
    "identity:list_policies": READER,
    "identity:get_policy_for_endpoint": READER,
    "identity:list_endpoints_for_policy": READER,
    "identity:check_policy_association_for_endpoint": READER,
    "identity:check_policy_association_for_service": READER,
    "identity:check_policy_association_for_region_and_service": READER,
    "identity:create_policy": "rule:admin_required",
    "identity:update_policy": "rule:admin_required",
    "identity:delete_policy": "rule:admin_required",
    "identity:create_policy_association_for_endpoint": "rule:admin_required",
    "identity:delete_policy_association_for_endpoint": "rule:admin_required",
    "identity:create_policy_association_for_service": "rule:admin_required",
    "identity:delete_policy_association_for_service": "rule:admin_required",
    "identity:create_policy_association_for_region_and_service": "rule:admin_required",
    "identity:delete_policy_association_for_region_and_service": "rule:admin_required",
    # application credentials
    "identity:get_application_credential": _CREDENTIAL_READER,
    "identity:list_application_credentials": _CREDENTIAL_READER,
    "identity:create_application_credential": "rule:target_owner",
    "identity:delete_application_credential": _CREDENTIAL_WRITER,
    # limits
    "identity:get_registered_limit": "rule:identity:any_caller",
    "identity:list_registered_limits": "rule:identity:any_caller",
    "identity:create_registered_limits": "rule:admin_required",
    "identity:update_registered_limit": "rule:admin_required",
    "identity:delete_registered_limit": "rule:admin_required",
    "identity:get_limit_model": "rule:identity:any_caller",
    "identity:get_limit": (
        f"{READER} or domain_id:%(target.limit.domain.id)s or domain_id:%(target.limit.project.domain_id)s "
        "or project_id:%(target.limit.project_id)s"
    ),
    "identity:list_limits": "rule:identity:any_caller",
    "identity:create_limits": "rule:admin_required",
    "identity:update_limit": "rule:admin_required",
    "identity:delete_limit": "rule:admin_required",
    # the audit trail, which Keystone leaves to other programs
    "identity:list_audit_events": READER,
    "identity:get_audit_event": READER,
    # credentials and signed requests
    **CREDENTIAL_RULES,
    # trusts, access rules, OAuth
    **DELEGATION_RULES,
}
