"""What tests share: databases of their own, a gateway in front of chosen APIs, callers without a password."""
