-- Logging in: who was here when, which passwords a user chose itself, and what went wrong too often.

-- The last day on which the user authenticated; kept while idle users are to be disabled.
ALTER TABLE identity."user" ADD COLUMN last_active_at date;

-- Whether the user chose it: such a password has a minimum age, one that an administrator set has none.
ALTER TABLE identity.password ADD COLUMN self_service boolean NOT NULL DEFAULT false;

-- Attempts that failed since the last one that did not. Attempts on behalf of nobody are counted too, on a few rows
-- without a user, so that a refusal costs the same whoever was named.
CREATE TABLE identity.login_failure (
    who       text        NOT NULL,
    method    text        NOT NULL,
    user_id   text        REFERENCES identity."user" (id) ON DELETE CASCADE,
    count     integer     NOT NULL,
    failed_at timestamptz NOT NULL,
    PRIMARY KEY (who, method),
    CHECK (user_id IS NULL OR user_id = who)
);
CREATE INDEX login_failure_user ON identity.login_failure (user_id);

-- The last step of time whose passcode was taken, by each TOTP secret: a passcode is good once.
CREATE TABLE identity.totp_step (
    credential_id text   PRIMARY KEY,
    user_id       text   NOT NULL REFERENCES identity."user" (id) ON DELETE CASCADE,
    step          bigint NOT NULL
);
CREATE INDEX totp_step_user ON identity.totp_step (user_id);
