-- Identity: who there is, what they may do and where, and which services the cloud has.
CREATE SCHEMA identity;

-- Projects and domains. A domain is the root of a tree of projects, as in Keystone, and so a row of the same table.
CREATE TABLE identity.project (
    id          text        PRIMARY KEY,
    domain_id   text        REFERENCES identity.project (id),
    parent_id   text        REFERENCES identity.project (id),
    is_domain   boolean     NOT NULL DEFAULT false,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    enabled     boolean     NOT NULL DEFAULT true,
    tags        text[]      NOT NULL DEFAULT '{}',
    options     jsonb       NOT NULL DEFAULT '{}',
    extra       jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    -- A domain belongs to nothing; a project belongs to a domain and hangs below it or below another project.
    CHECK (is_domain = (domain_id IS NULL)),
    CHECK (is_domain = (parent_id IS NULL))
);
CREATE UNIQUE INDEX project_name ON identity.project (domain_id, name) WHERE NOT is_domain;
CREATE UNIQUE INDEX domain_name ON identity.project (name) WHERE is_domain;
CREATE INDEX project_parent ON identity.project (parent_id);

CREATE TABLE identity."user" (
    id                 text        PRIMARY KEY,
    domain_id          text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    name               text        NOT NULL,
    enabled            boolean     NOT NULL DEFAULT true,
    default_project_id text,
    options            jsonb       NOT NULL DEFAULT '{}',
    extra              jsonb       NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL,
    UNIQUE (domain_id, name)
);

-- A user's passwords, hashed; the newest is the one in force, the others are its history.
CREATE TABLE identity.password (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    hash       text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE INDEX password_user ON identity.password (user_id, id DESC);

CREATE TABLE identity."group" (
    id          text        PRIMARY KEY,
    domain_id   text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    extra       jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE identity.membership (
    user_id  text NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    group_id text NOT NULL REFERENCES identity."group" (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);
CREATE INDEX membership_group ON identity.membership (group_id);

CREATE TABLE identity.role (
    id          text        PRIMARY KEY,
    name        text        NOT NULL,
    -- A role of one domain never stands in a token: it only implies others.
    domain_id   text        REFERENCES identity.project (id) ON DELETE CASCADE,
    description text,
    options     jsonb       NOT NULL DEFAULT '{}',
    extra       jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX role_name ON identity.role (COALESCE(domain_id, ''), name);

-- Whoever has the prior role has the implied one.
CREATE TABLE identity.implied_role (
    prior_id   text NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    implied_id text NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_id, implied_id),
    CHECK (prior_id <> implied_id)
);
CREATE INDEX implied_role_implied ON identity.implied_role (implied_id);

-- A user or a group has a role on a project or a domain, or on the system where the target is null. An inherited
-- assignment holds below its target and not on it.
CREATE TABLE identity.assignment (
    role_id   text    NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    user_id   text    REFERENCES identity."user" (id) ON DELETE CASCADE,
    group_id  text    REFERENCES identity."group" (id) ON DELETE CASCADE,
    target_id text    REFERENCES identity.project (id) ON DELETE CASCADE,
    inherited boolean NOT NULL DEFAULT false,
    CHECK (num_nonnulls(user_id, group_id) = 1),
    CHECK (NOT inherited OR target_id IS NOT NULL)
);
CREATE UNIQUE INDEX assignment_once ON identity.assignment
    (role_id, COALESCE(user_id, ''), COALESCE(group_id, ''), COALESCE(target_id, ''), inherited);
CREATE INDEX assignment_user ON identity.assignment (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX assignment_group ON identity.assignment (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX assignment_target ON identity.assignment (target_id);

CREATE TABLE identity.region (
    id               text        PRIMARY KEY,
    description      text        NOT NULL DEFAULT '',
    parent_region_id text        REFERENCES identity.region (id) ON DELETE CASCADE,
    extra            jsonb       NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL
);

CREATE TABLE identity.service (
    id         text        PRIMARY KEY,
    type       text        NOT NULL,
    enabled    boolean     NOT NULL DEFAULT true,
    -- Name and description, too, which Keystone keeps here.
    extra      jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);
CREATE INDEX service_type ON identity.service (type);

CREATE TABLE identity.endpoint (
    id         text        PRIMARY KEY,
    service_id text        NOT NULL REFERENCES identity.service (id) ON DELETE CASCADE,
    interface  text        NOT NULL CHECK (interface IN ('public', 'internal', 'admin')),
    region_id  text        REFERENCES identity.region (id),
    url        text        NOT NULL,
    enabled    boolean     NOT NULL DEFAULT true,
    extra      jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);
CREATE INDEX endpoint_service ON identity.endpoint (service_id);

CREATE TABLE identity.application_credential (
    id           text        PRIMARY KEY,
    user_id      text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    project_id   text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    name         text        NOT NULL,
    description  text,
    secret_hash  text        NOT NULL,
    unrestricted boolean     NOT NULL DEFAULT false,
    expires_at   timestamptz,
    created_at   timestamptz NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE identity.application_credential_role (
    credential_id text NOT NULL REFERENCES identity.application_credential (id) ON DELETE CASCADE,
    role_id       text NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    PRIMARY KEY (credential_id, role_id)
);

-- One row. Its lock, held to the end of the revoking transaction, makes order of revision the order of commit, so that
-- a token that carries revision N was made from data that had seen every revocation up to N.
CREATE TABLE identity.revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL
);
INSERT INTO identity.revision (revision) VALUES (0);

-- Tokens that are no longer good: those that match every column that is set here and carry an older revision.
CREATE TABLE identity.revocation (
    id                        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision                  bigint      NOT NULL,
    audit_id                  text,
    user_id                   text,
    -- Project, domain, or `system`.
    target                    text,
    -- Domain of the user or of the project.
    domain_id                 text,
    role                      text,
    application_credential_id text,
    -- When no token can be left that this would concern.
    expires_at                timestamptz NOT NULL
);
CREATE INDEX revocation_expires ON identity.revocation (expires_at);
