"""Who may read events and operations. A project's members see their own; an admin sees all."""

RULES = {
    "events:admin": "role:admin",
    "events:stream": "rule:events:admin or role:reader and project_id:%(project_id)s",
    "events:operations:list": "rule:events:admin or role:reader and project_id:%(project_id)s",
    "events:operations:show": "rule:events:admin or role:reader and project_id:%(project_id)s",
}
