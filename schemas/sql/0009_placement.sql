-- Placement: what every host has, and who claims how much of it.
CREATE SCHEMA placement;

CREATE TABLE placement.provider (
    kind              text    NOT NULL,
    host              text    NOT NULL,
    -- Grows with every change of this provider, its inventory or its claims; updating it is the lock on all three.
    generation        bigint  NOT NULL DEFAULT 0,
    up                boolean NOT NULL DEFAULT true,
    enabled           boolean NOT NULL DEFAULT true,
    disabled_reason   text,
    availability_zone text    NOT NULL DEFAULT 'nova',
    last_seen         timestamptz NOT NULL,
    PRIMARY KEY (kind, host)
);

CREATE TABLE placement.inventory (
    kind             text             NOT NULL,
    host             text             NOT NULL,
    resource_class   text             NOT NULL,
    total            bigint           NOT NULL CHECK (total >= 0),
    reserved         bigint           NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    allocation_ratio double precision NOT NULL DEFAULT 1 CHECK (allocation_ratio > 0),
    -- The sum of the claims; changed in the transaction that claims or releases.
    used             bigint           NOT NULL DEFAULT 0 CHECK (used >= 0),
    PRIMARY KEY (kind, host, resource_class),
    FOREIGN KEY (kind, host) REFERENCES placement.provider
);

CREATE TABLE placement.allocation (
    consumer_id    uuid   NOT NULL,
    resource_class text   NOT NULL,
    kind           text   NOT NULL,
    host           text   NOT NULL,
    project_id     text   NOT NULL,
    amount         bigint NOT NULL CHECK (amount >= 0),
    -- A consumer is on one host.
    PRIMARY KEY (consumer_id, resource_class),
    FOREIGN KEY (kind, host, resource_class) REFERENCES placement.inventory
);
CREATE INDEX allocation_by_host ON placement.allocation (kind, host);
