-- Tokens die with what they were made by, whether that is an application credential, a trust or an OAuth access token.
ALTER TABLE identity.revocation RENAME COLUMN application_credential_id TO delegation_id;
