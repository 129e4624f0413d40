-- What the conductor keeps for itself.
CREATE SCHEMA conductor;

-- The last that each agent reported, whole: `skybus doctor` compares it with what the database says.
CREATE TABLE conductor.host_report (
    kind     text        NOT NULL CHECK (kind IN ('compute', 'network', 'volume')),
    host     text        NOT NULL,
    report   jsonb       NOT NULL,
    -- By the host's clock: an older report that comes late changes nothing.
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (kind, host)
);
