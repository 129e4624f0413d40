"""Who may do what with volumes: OpenStack's rule names, its secure-RBAC defaults."""

from __future__ import annotations

ADMIN = "role:admin"
MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
READER = "role:admin or (role:reader and project_id:%(project_id)s)"

RULES: dict[str, str] = {
    "volume:create": MEMBER,
    "volume:get": READER,
    "volume:get_all": READER,
    "volume:update": MEMBER,
    "volume:delete": MEMBER,
    "volume:get_volume_metadata": READER,
    "volume:create_volume_metadata": MEMBER,
    "volume:update_volume_metadata": MEMBER,
    "volume:delete_volume_metadata": MEMBER,
    "volume:availability_zone_list": READER,
    "volume:list_extensions": READER,
    "volume_extension:volume_host_attribute": ADMIN,
    "volume_extension:volume_tenant_attribute": READER,
    "volume_extension:volume_mig_status_attribute": ADMIN,
    "volume_extension:type_get": READER,
    "volume_extension:type_get_all": READER,
    "volume_extension:type_create": ADMIN,
    "volume_extension:type_update": ADMIN,
    "volume_extension:type_delete": ADMIN,
    "volume_extension:access_types_extra_specs": READER,
    "volume_extension:types_extra_specs:index": READER,
    "volume_extension:types_extra_specs:show": READER,
    "volume_extension:types_extra_specs:create": ADMIN,
    "volume_extension:types_extra_specs:update": ADMIN,
    "volume_extension:types_extra_specs:delete": ADMIN,
    "volume_extension:volume_type_access": READER,
    "volume_extension:volume_type_access:get_all_for_type": ADMIN,
    "volume_extension:volume_type_access:addProjectAccess": ADMIN,
    "volume_extension:volume_type_access:removeProjectAccess": ADMIN,
    "volume_extension:quotas:show": READER,
    "volume_extension:quotas:update": ADMIN,
    "volume_extension:quotas:delete": ADMIN,
    "volume_extension:services:index": ADMIN,
    "volume_extension:services:update": ADMIN,
    "limits_extension:used_limits": READER,
    "scheduler_extension:scheduler_stats:get_pools": ADMIN,
}
