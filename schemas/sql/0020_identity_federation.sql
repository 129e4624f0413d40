-- People whom somebody else knows: identity providers that speak OpenID Connect, and directories that speak LDAP.

-- Who may say who somebody is. Its users live in its domain.
CREATE TABLE identity.identity_provider (
    id                text        PRIMARY KEY,
    domain_id         text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    enabled           boolean     NOT NULL DEFAULT false,
    description       text,
    -- Minutes that group memberships from a mapping outlive the login.
    authorization_ttl integer     CHECK (authorization_ttl >= 0),
    created_at        timestamptz NOT NULL
);
CREATE INDEX identity_provider_domain ON identity.identity_provider (domain_id);

-- By what names a provider calls itself: for OpenID Connect its issuer. One name means one provider.
CREATE TABLE identity.remote_id (
    remote_id            text NOT NULL PRIMARY KEY,
    identity_provider_id text NOT NULL REFERENCES identity.identity_provider (id) ON DELETE CASCADE
);
CREATE INDEX remote_id_provider ON identity.remote_id (identity_provider_id);

-- Rules that turn what a provider says into a user, groups and projects of ours.
CREATE TABLE identity.mapping (
    id             text        PRIMARY KEY,
    rules          jsonb       NOT NULL,
    schema_version text        NOT NULL,
    created_at     timestamptz NOT NULL
);

-- A way to come from a provider, and the mapping that goes with it. Keystone lets the mapping go while it is named here.
CREATE TABLE identity.protocol (
    identity_provider_id text        NOT NULL REFERENCES identity.identity_provider (id) ON DELETE CASCADE,
    id                   text        NOT NULL,
    mapping_id           text        NOT NULL,
    remote_id_attribute  text,
    created_at           timestamptz NOT NULL,
    PRIMARY KEY (identity_provider_id, id)
);
CREATE INDEX protocol_mapping ON identity.protocol (mapping_id);

-- Clouds that trust us.
CREATE TABLE identity.service_provider (
    id                 text        PRIMARY KEY,
    enabled            boolean     NOT NULL DEFAULT false,
    description        text,
    auth_url           text        NOT NULL,
    sp_url             text        NOT NULL,
    relay_state_prefix text,
    created_at         timestamptz NOT NULL
);

-- The user of ours that stands for a provider's one, from the first login on.
CREATE TABLE identity.federated_user (
    identity_provider_id text NOT NULL REFERENCES identity.identity_provider (id) ON DELETE CASCADE,
    protocol_id          text NOT NULL,
    unique_id            text NOT NULL,
    user_id              text NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    PRIMARY KEY (identity_provider_id, protocol_id, unique_id)
);
CREATE INDEX federated_user_user ON identity.federated_user (user_id);

-- Groups that a provider put somebody into, until the next login or until they run out.
CREATE TABLE identity.expiring_membership (
    user_id              text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    group_id             text        NOT NULL REFERENCES identity."group" (id) ON DELETE CASCADE,
    identity_provider_id text        NOT NULL REFERENCES identity.identity_provider (id) ON DELETE CASCADE,
    expires_at           timestamptz NOT NULL,
    PRIMARY KEY (user_id, group_id, identity_provider_id)
);
CREATE INDEX expiring_membership_group ON identity.expiring_membership (group_id);

-- Who is in which group now, for whatever reason: what roles are counted from.
CREATE VIEW identity.belonging AS
    SELECT user_id, group_id FROM identity.membership
    UNION
    SELECT user_id, group_id FROM identity.expiring_membership WHERE expires_at > now();

-- A domain's own settings, among them the directory that its users come from. Secrets are sealed under the keys of
-- credentials.
CREATE TABLE identity.domain_option (
    domain_id  text    NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    section    text    NOT NULL,
    name       text    NOT NULL,
    value      jsonb,
    key_number integer,
    sealed     bytea,
    PRIMARY KEY (domain_id, section, name),
    CHECK (num_nonnulls(key_number, sealed) IN (0, 2)),
    CHECK (value IS NULL OR sealed IS NULL)
);

-- Users and groups of a directory that we have met: rows of "user" and "group" stand for them, under ids that follow
-- from the domain and the directory's own id. One that the directory has no more is kept, for its roles, and not shown.
CREATE TABLE identity.directory_entry (
    id         text        PRIMARY KEY,
    domain_id  text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    kind       text        NOT NULL CHECK (kind IN ('user', 'group')),
    local_id   text        NOT NULL,
    gone       boolean     NOT NULL DEFAULT false,
    -- When somebody last logged in as this user, and when the directory was last asked whether it still stands.
    used_at    timestamptz,
    checked_at timestamptz NOT NULL,
    UNIQUE (domain_id, kind, local_id)
);
CREATE INDEX directory_entry_checked ON identity.directory_entry (checked_at) WHERE kind = 'user' AND NOT gone;
