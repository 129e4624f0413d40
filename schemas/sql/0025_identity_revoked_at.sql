-- When something was revoked, for those who ask since when.
ALTER TABLE identity.revocation ADD COLUMN revoked_at timestamptz NOT NULL DEFAULT now();
