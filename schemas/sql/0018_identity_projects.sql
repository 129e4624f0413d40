-- Catalogs of chosen endpoints, and the policies that services may keep here.

-- Endpoints and groups of endpoints that were given to a project: its catalog shows these alone. A project that was
-- given none sees every endpoint.
CREATE TABLE identity.project_endpoint (
    project_id  text NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    endpoint_id text NOT NULL REFERENCES identity.endpoint (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_id)
);
CREATE INDEX project_endpoint_endpoint ON identity.project_endpoint (endpoint_id);

CREATE TABLE identity.endpoint_group (
    id          text        PRIMARY KEY,
    name        text        NOT NULL,
    description text,
    -- What an endpoint must be to belong to the group: service_id, region_id and interface, each optional.
    filters     jsonb       NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE identity.project_endpoint_group (
    project_id        text NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    endpoint_group_id text NOT NULL REFERENCES identity.endpoint_group (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_group_id)
);
CREATE INDEX project_endpoint_group_group ON identity.project_endpoint_group (endpoint_group_id);

-- Policies of services, which Identity keeps and does not read.
CREATE TABLE identity.policy_blob (
    id         text        PRIMARY KEY,
    type       text        NOT NULL,
    blob       text        NOT NULL,
    extra      jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

-- Whose policy it is: one endpoint's, a service's in one region and below, or a service's.
CREATE TABLE identity.policy_association (
    policy_id   text NOT NULL REFERENCES identity.policy_blob (id) ON DELETE CASCADE,
    endpoint_id text REFERENCES identity.endpoint (id) ON DELETE CASCADE,
    service_id  text REFERENCES identity.service (id) ON DELETE CASCADE,
    region_id   text REFERENCES identity.region (id) ON DELETE CASCADE,
    CHECK (num_nonnulls(endpoint_id, service_id) = 1),
    CHECK (region_id IS NULL OR service_id IS NOT NULL)
);
-- Each of them has one policy.
CREATE UNIQUE INDEX policy_association_once ON identity.policy_association
    (COALESCE(endpoint_id, ''), COALESCE(service_id, ''), COALESCE(region_id, ''));
CREATE INDEX policy_association_policy ON identity.policy_association (policy_id);

-- A project that goes is nobody's default any more.
CREATE INDEX user_default_project ON identity."user" (default_project_id) WHERE default_project_id IS NOT NULL;
CREATE INDEX project_domain ON identity.project (domain_id);
CREATE INDEX endpoint_region ON identity.endpoint (region_id);
