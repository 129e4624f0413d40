-- Reading the event log by project, as subscribers do.
CREATE INDEX event_by_project ON bus.event (project_id, position);
