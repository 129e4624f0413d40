"""What metadata definitions look like in API v2. What was never said is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skybus.http.times import seconds_z
from skybus.image.metadefs.namespaces import Namespace

NAMESPACES = "/v2/metadefs/namespaces"


def _said(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if value is not None}


def _times(row: Any) -> dict[str, Any]:
    return {"created_at": seconds_z(row["created_at"]), "updated_at": seconds_z(row["updated_at"])}


def namespace_view(found: Namespace, associations: Sequence[Any] = ()) -> dict[str, Any]:
    """The namespace with its resource types, as in a list."""
    view = _said(
        {
            "namespace": found.namespace,
            "display_name": found.display_name,
            "description": found.description,
            "visibility": found.visibility,
            "protected": found.protected,
            "owner": found.owner,
            "created_at": seconds_z(found.created_at),
            "updated_at": seconds_z(found.updated_at),
            "self": f"{NAMESPACES}/{found.namespace}",
            "schema": "/v2/schemas/metadefs/namespace",
        }
    )
    if associations:
        view["resource_type_associations"] = [association_view(row) for row in associations]
    return view


def association_view(row: Any) -> dict[str, Any]:
    """A resource type as one namespace speaks of it."""
    named = {"name": row["resource_type"], "prefix": row["prefix"], "properties_target": row["properties_target"]}
    return {**_said(named), **_times(row)}


def resource_type_view(row: Any) -> dict[str, Any]:
    """A resource type."""
    return {"name": row["name"], **_times(row)}


def object_view(row: Any) -> dict[str, Any]:
    """An object with its properties."""
    view = {
        "name": row["name"],
        "description": row["description"],
        "required": row["required"],
        "properties": row["properties"],
        "self": f"{NAMESPACES}/{row['namespace']}/objects/{row['name']}",
        "schema": "/v2/schemas/metadefs/object",
    }
    return {**_said(view), **_times(row)}


def property_view(row: Any) -> dict[str, Any]:
    """A property that stands for itself."""
    return {**row["definition"], "name": row["name"]}


def properties_view(rows: Sequence[Any]) -> dict[str, Any]:
    """The properties of a namespace, by their names."""
    return {row["name"]: row["definition"] for row in rows}


def tag_view(row: Any) -> dict[str, Any]:
    """A tag."""
    return {"name": row["name"], **_times(row)}


def tags_view(names: Sequence[str]) -> list[dict[str, str]]:
    """Tags in a list, by their names alone."""
    return [{"name": name} for name in names]


def prefixed(view: dict[str, Any], resource_type: str) -> dict[str, Any]:
    """A namespace in full, its properties called as they are on things of `resource_type`."""
    associations = view.get("resource_type_associations", [])
    prefix = next((one.get("prefix") for one in associations if one["name"] == resource_type), None)
    if not prefix:
        return view
    changed = dict(view)
    if "properties" in view:
        changed["properties"] = _prefixed(view["properties"], prefix)
    if "objects" in view:
        changed["objects"] = [
            {
                **one,
                "properties": _prefixed(one["properties"], prefix),
                "required": [prefix + name for name in one["required"]],
            }
            for one in view["objects"]
        ]
    return changed


def _prefixed(properties: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: definition for name, definition in properties.items()}
