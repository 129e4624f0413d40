-- Who did what to what in identity, when, from where. Rows are written and, when they are old, deleted; never changed.
CREATE TABLE identity.audit_event (
    -- Ids sort by time.
    id                uuid        PRIMARY KEY,
    time              timestamptz NOT NULL,
    action            text        NOT NULL,
    outcome           text        NOT NULL CHECK (outcome IN ('success', 'failure')),
    -- The code of the error that it ended in.
    reason            text,
    -- Logins and refusals that are alike and close together are one row.
    times             integer     NOT NULL DEFAULT 1 CHECK (times > 0),
    -- Without foreign keys: what is told here outlives whom it is told of.
    user_id           text,
    project_id        text,
    domain_id         text,
    system            boolean     NOT NULL DEFAULT false,
    token_id          text,
    address           text,
    agent             text,
    request_id        text        NOT NULL,
    global_request_id text,
    request           text        NOT NULL,
    target_type       text        NOT NULL,
    target_id         text,
    details           jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_event_user ON identity.audit_event (user_id, id);
CREATE INDEX audit_event_target ON identity.audit_event (target_id, id);
CREATE INDEX audit_event_request ON identity.audit_event (request_id);
