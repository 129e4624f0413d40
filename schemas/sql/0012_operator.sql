-- What operators decided about what ended badly, and why.

-- Operations that are parked as failed and that somebody has seen to: the doctor lists them no longer.
CREATE TABLE saga.acknowledgement (
    operation_id    uuid        PRIMARY KEY REFERENCES saga.operation ON DELETE CASCADE,
    reason          text        NOT NULL CHECK (reason <> ''),
    acknowledged_at timestamptz NOT NULL
);
CREATE INDEX operation_failed ON saga.operation (id) WHERE state = 'failed';

-- Dead letters that nobody wants to have sent again.
ALTER TABLE bus.dead_letter ADD COLUMN discarded_at timestamptz, ADD COLUMN discarded_reason text;
ALTER TABLE bus.dead_letter ADD CHECK ((discarded_at IS NULL) = (discarded_reason IS NULL));
