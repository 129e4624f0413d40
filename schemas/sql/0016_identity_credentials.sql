-- Somebody's secrets for other ways in: EC2 keys, TOTP seeds, certificates. Encrypted under the keys of credentials.
CREATE TABLE identity.credential (
    -- For EC2 the SHA-256 of the access key with which it was made.
    id              text        PRIMARY KEY,
    user_id         text        NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    project_id      text        REFERENCES identity.project (id) ON DELETE CASCADE,
    type            text        NOT NULL,
    -- The blob, and the number of the key that it is encrypted with.
    sealed          bytea       NOT NULL,
    key_number      integer     NOT NULL,
    -- For EC2 the SHA-256 of the access key that it has now, by which a signed request finds it.
    access_hash     text        UNIQUE,
    -- By what the token was made that made this: it never gives more than that does.
    delegation_kind text,
    delegation_id   text,
    extra           jsonb       NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL,
    CHECK (num_nonnulls(delegation_kind, delegation_id) IN (0, 2)),
    CHECK (access_hash IS NULL OR project_id IS NOT NULL)
);
CREATE INDEX credential_user ON identity.credential (user_id, type);
CREATE INDEX credential_project ON identity.credential (project_id);
CREATE INDEX credential_key ON identity.credential (key_number);
