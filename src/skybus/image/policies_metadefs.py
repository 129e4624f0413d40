"""Who may do what with metadata definitions: OpenStack's rule names and defaults.

Everybody reads what is public or the own project's; administrators alone write.
"""

from __future__ import annotations

ADMIN = "rule:metadef_admin"
READER = "role:admin or (role:reader and project_id:%(project_id)s)"
SEEN_BY_READER = "role:admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"

RULES: dict[str, str] = {
    "metadef_default": "",
    "metadef_admin": "role:admin",
    "get_metadef_namespace": SEEN_BY_READER,
    "get_metadef_namespaces": READER,
    "modify_metadef_namespace": ADMIN,
    "add_metadef_namespace": ADMIN,
    "delete_metadef_namespace": ADMIN,
    "get_metadef_object": SEEN_BY_READER,
    "get_metadef_objects": SEEN_BY_READER,
    "modify_metadef_object": ADMIN,
    "add_metadef_object": ADMIN,
    "delete_metadef_object": ADMIN,
    "list_metadef_resource_types": SEEN_BY_READER,
    "get_metadef_resource_type": SEEN_BY_READER,
    "add_metadef_resource_type_association": ADMIN,
    "remove_metadef_resource_type_association": ADMIN,
    "get_metadef_property": SEEN_BY_READER,
    "get_metadef_properties": SEEN_BY_READER,
    "modify_metadef_property": ADMIN,
    "add_metadef_property": ADMIN,
    "remove_metadef_property": ADMIN,
    "get_metadef_tag": SEEN_BY_READER,
    "get_metadef_tags": SEEN_BY_READER,
    "modify_metadef_tag": ADMIN,
    "add_metadef_tag": ADMIN,
    "add_metadef_tags": ADMIN,
    "delete_metadef_tag": ADMIN,
    "delete_metadef_tags": ADMIN,
}
