"""The conductor: the only driver of operations, and the one who repairs what drifted."""
