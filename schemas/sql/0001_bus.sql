-- The bus's part of the store: messages that a committed transaction owes to the broker, and the log of all events.
CREATE SCHEMA bus;

CREATE TABLE bus.outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange     text        NOT NULL,
    routing_key  text        NOT NULL,
    message_id   text        NOT NULL,
    type         text        NOT NULL,
    source       text        NOT NULL,
    subject      text        NOT NULL,
    project_id   text        NOT NULL,
    request_id   text        NOT NULL,
    operation_id text        NOT NULL,
    command_id   text        NOT NULL,
    traceparent  text        NOT NULL,
    time         timestamptz NOT NULL,
    body         text        NOT NULL,
    -- Written by a process that has no relay of its own: any relay takes it at once.
    orphan       boolean     NOT NULL DEFAULT true,
    -- An event's number in the log; null until a relay has numbered it, and for every other message.
    position     bigint
);
CREATE INDEX outbox_unnumbered ON bus.outbox (id) WHERE exchange = 'skybus.events' AND position IS NULL;

-- One row. Its lock, held to the end of the numbering transaction, makes order of position the order of commit.
CREATE TABLE bus.event_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint  NOT NULL
);
INSERT INTO bus.event_head (position) VALUES (0);

CREATE TABLE bus.event (
    position     bigint      PRIMARY KEY,
    id           text        NOT NULL,
    type         text        NOT NULL,
    source       text        NOT NULL,
    subject      text        NOT NULL,
    project_id   text        NOT NULL,
    request_id   text        NOT NULL,
    operation_id text        NOT NULL,
    traceparent  text        NOT NULL,
    time         timestamptz NOT NULL,
    body         json        NOT NULL
);
CREATE INDEX event_by_request ON bus.event (request_id) WHERE request_id <> '';

-- Messages that nobody could handle, taken off the broker's dead-letter queue so that they can be listed and replayed.
CREATE TABLE bus.dead_letter (
    id           text        PRIMARY KEY,
    exchange     text        NOT NULL,
    routing_key  text        NOT NULL,
    queue        text        NOT NULL,
    reason       text        NOT NULL,
    type         text        NOT NULL,
    source       text        NOT NULL,
    subject      text        NOT NULL,
    project_id   text        NOT NULL,
    request_id   text        NOT NULL,
    operation_id text        NOT NULL,
    command_id   text        NOT NULL,
    traceparent  text        NOT NULL,
    time         timestamptz NOT NULL,
    body         text        NOT NULL,
    died_at      timestamptz NOT NULL,
    replayed_at  timestamptz
);
