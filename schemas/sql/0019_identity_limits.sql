-- How much of a resource a project or a domain may own: what services register, and what is said otherwise for some.

-- A limit without a service, or below a service that is gone, means nothing, and goes with it.
CREATE TABLE identity.registered_limit (
    id            text        PRIMARY KEY,
    service_id    text        NOT NULL REFERENCES identity.service (id) ON DELETE CASCADE,
    region_id     text        REFERENCES identity.region (id),
    resource_name text        NOT NULL,
    -- -1 is no limit.
    default_limit integer     NOT NULL CHECK (default_limit >= -1),
    description   text,
    created_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX registered_limit_once ON identity.registered_limit
    (service_id, COALESCE(region_id, ''), resource_name);
CREATE INDEX registered_limit_region ON identity.registered_limit (region_id) WHERE region_id IS NOT NULL;

-- The target is a project or a domain, which are rows of one table.
CREATE TABLE identity."limit" (
    id                  text        PRIMARY KEY,
    registered_limit_id text        NOT NULL REFERENCES identity.registered_limit (id) ON DELETE CASCADE,
    target_id           text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    resource_limit      integer     NOT NULL CHECK (resource_limit >= -1),
    description         text,
    created_at          timestamptz NOT NULL,
    UNIQUE (registered_limit_id, target_id)
);
CREATE INDEX limit_target ON identity."limit" (target_id);
