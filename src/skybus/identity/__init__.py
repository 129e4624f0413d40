"""Identity: who there is, what they may do and where, and which services the cloud has (OpenStack Identity API v3)."""

from skybus.identity.api import api
from skybus.identity.bootstrap import bootstrap
from skybus.identity.directory import Directory
from skybus.identity.keys import key_create, keys_ensure
from skybus.identity.policies import RULES
from skybus.identity.service import Identity
from skybus.identity.tokens import Tokens

__all__ = ["RULES", "Directory", "Identity", "Tokens", "api", "bootstrap", "key_create", "keys_ensure"]
