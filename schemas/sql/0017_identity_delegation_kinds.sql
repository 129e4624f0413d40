-- Delegation in all its kinds: trusts, access rules of application credentials, OAuth 1.0a.

-- What a trustor lets a trustee do on one project. A trust that was passed on hangs below the one that it came from.
CREATE TABLE identity.trust (
    id                   text        PRIMARY KEY,
    trustor_user_id      text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    trustee_user_id      text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    project_id           text        REFERENCES identity.project (id) ON DELETE CASCADE,
    -- Whether its tokens name the trustor as their user.
    impersonation        boolean     NOT NULL,
    expires_at           timestamptz,
    -- Tokens that can still be made by it; null where they are not counted.
    remaining_uses       integer     CHECK (remaining_uses >= 0),
    -- How many more trusts can hang below it in one line.
    redelegation_count   integer     NOT NULL CHECK (redelegation_count >= 0),
    redelegated_trust_id text        REFERENCES identity.trust (id) ON DELETE CASCADE,
    extra                jsonb       NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL,
    -- Uses of a trust that others hang below could not be counted.
    CHECK (remaining_uses IS NULL OR (redelegation_count = 0 AND redelegated_trust_id IS NULL))
);
CREATE INDEX trust_trustor ON identity.trust (trustor_user_id);
CREATE INDEX trust_trustee ON identity.trust (trustee_user_id);
CREATE INDEX trust_project ON identity.trust (project_id) WHERE project_id IS NOT NULL;
CREATE INDEX trust_redelegated ON identity.trust (redelegated_trust_id) WHERE redelegated_trust_id IS NOT NULL;

CREATE TABLE identity.trust_role (
    trust_id text NOT NULL REFERENCES identity.trust (id) ON DELETE CASCADE,
    role_id  text NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    PRIMARY KEY (trust_id, role_id)
);

-- One kind of request that tokens of an application credential may make. Rules belong to a user and never change;
-- several credentials of the user can have the same one.
CREATE TABLE identity.access_rule (
    id         text        PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    service    text        NOT NULL,
    method     text        NOT NULL,
    path       text        NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (user_id, service, method, path)
);

-- A rule that is in use cannot be deleted, but goes with its user, as the credential does.
CREATE TABLE identity.application_credential_access_rule (
    credential_id text NOT NULL REFERENCES identity.application_credential (id) ON DELETE CASCADE,
    rule_id       text NOT NULL REFERENCES identity.access_rule (id),
    PRIMARY KEY (credential_id, rule_id)
);
CREATE INDEX application_credential_access_rule_rule ON identity.application_credential_access_rule (rule_id);

-- OAuth 1.0a. A signature is checked with the secret itself, so secrets are encrypted and not hashed: `sealed`, with the
-- number of the key.
CREATE TABLE identity.consumer (
    id          text        PRIMARY KEY,
    description text,
    sealed      bytea       NOT NULL,
    key_number  integer     NOT NULL,
    extra       jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL
);

-- What a consumer asks a user to authorize; the user's answer is the verifier, with some of the user's roles.
CREATE TABLE identity.request_token (
    id          text        PRIMARY KEY,
    consumer_id text        NOT NULL REFERENCES identity.consumer (id) ON DELETE CASCADE,
    project_id  text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    sealed      bytea       NOT NULL,
    key_number  integer     NOT NULL,
    user_id     text        REFERENCES identity."user" (id) ON DELETE CASCADE,
    verifier    text,
    role_ids    text[]      NOT NULL DEFAULT '{}',
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    CHECK ((user_id IS NULL) = (verifier IS NULL))
);
CREATE INDEX request_token_consumer ON identity.request_token (consumer_id);

CREATE TABLE identity.access_token (
    id          text        PRIMARY KEY,
    consumer_id text        NOT NULL REFERENCES identity.consumer (id) ON DELETE CASCADE,
    user_id     text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    project_id  text        NOT NULL REFERENCES identity.project (id) ON DELETE CASCADE,
    sealed      bytea       NOT NULL,
    key_number  integer     NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX access_token_consumer ON identity.access_token (consumer_id);
CREATE INDEX access_token_user ON identity.access_token (user_id);

CREATE TABLE identity.access_token_role (
    access_token_id text NOT NULL REFERENCES identity.access_token (id) ON DELETE CASCADE,
    role_id         text NOT NULL REFERENCES identity.role (id) ON DELETE CASCADE,
    PRIMARY KEY (access_token_id, role_id)
);

-- Signed requests that were seen, for as long as their time stamps are good: none is answered twice.
CREATE TABLE identity.nonce (
    consumer_id text        NOT NULL REFERENCES identity.consumer (id) ON DELETE CASCADE,
    token       text        NOT NULL,
    nonce       text        NOT NULL,
    stamp       bigint      NOT NULL,
    PRIMARY KEY (consumer_id, token, nonce, stamp)
);
CREATE INDEX nonce_stamp ON identity.nonce (stamp);
