"""Users' secrets, encrypted at rest; EC2 keys and what they sign."""
