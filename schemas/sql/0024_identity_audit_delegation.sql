-- Whoever acts by an application credential, a trust or an OAuth access token: by which. With a trust the user that is
-- named can be another one than who acts.
ALTER TABLE identity.audit_event ADD COLUMN delegation_kind text, ADD COLUMN delegation_id text;
CREATE INDEX audit_event_delegation ON identity.audit_event (delegation_id, id) WHERE delegation_id IS NOT NULL;
