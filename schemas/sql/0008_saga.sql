-- Operations: what was accepted and has to come to an end.
CREATE SCHEMA saga;

CREATE TABLE saga.operation (
    id            uuid        PRIMARY KEY,
    kind          text        NOT NULL,
    project_id    text        NOT NULL,
    user_id       text        NOT NULL,
    request_id    text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text        NOT NULL,
    exclusive     boolean     NOT NULL,
    -- waiting: for the operation that it interrupted; failed: an undo would not work and somebody has to look.
    state         text        NOT NULL CHECK (state IN ('waiting', 'running', 'undoing', 'done', 'undone', 'failed')),
    -- Index into the saga's steps; -1 until the conductor has begun.
    step          integer     NOT NULL DEFAULT -1,
    attempt       integer     NOT NULL DEFAULT 0,
    -- Orders that are out: command id -> {key, to, answer}.
    awaiting      jsonb       NOT NULL DEFAULT '{}',
    memo          jsonb       NOT NULL DEFAULT '{}',
    error         jsonb,
    deadline      timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    finished_at   timestamptz
);
-- One operation at a time works on a resource, and at most one waits for it.
CREATE UNIQUE INDEX operation_one_running ON saga.operation (resource_type, resource_id)
    WHERE exclusive AND state IN ('running', 'undoing');
CREATE UNIQUE INDEX operation_one_waiting ON saga.operation (resource_type, resource_id) WHERE state = 'waiting';
CREATE INDEX operation_due ON saga.operation (deadline) WHERE state IN ('running', 'undoing');
CREATE INDEX operation_by_resource ON saga.operation (resource_type, resource_id, created_at DESC);
CREATE INDEX operation_by_project ON saga.operation (project_id, id DESC);
CREATE INDEX operation_by_request ON saga.operation (request_id);
