-- Metering: when each billable thing existed.
CREATE SCHEMA metering;

-- One row for each server and volume that an event has told of. Either end may be heard of first, so each may be null.
CREATE TABLE metering.existence (
    resource_type text        NOT NULL CHECK (resource_type IN ('server', 'volume')),
    resource_id   uuid        NOT NULL,
    project_id    text        NOT NULL,
    name          text        NOT NULL DEFAULT '',
    flavor_name   text        NOT NULL DEFAULT '',
    vcpus         integer     NOT NULL DEFAULT 0,
    memory_mib    bigint      NOT NULL DEFAULT 0,
    -- A server's disk, or a volume's size.
    disk_gib      bigint      NOT NULL DEFAULT 0,
    volume_type   text        NOT NULL DEFAULT '',
    started_at    timestamptz,
    ended_at      timestamptz,
    -- The events that told of the ends: of two that tell of the same end, the earlier time counts, then the lesser id.
    started_by    text        NOT NULL DEFAULT '',
    ended_by      text        NOT NULL DEFAULT '',
    PRIMARY KEY (resource_type, resource_id)
);
CREATE INDEX existence_of_project ON metering.existence (resource_type, project_id, resource_id)
    WHERE started_at IS NOT NULL;
CREATE INDEX existence_going_on ON metering.existence (resource_type, started_at) WHERE ended_at IS NULL;
CREATE INDEX existence_over ON metering.existence (resource_type, ended_at) WHERE ended_at IS NOT NULL;
