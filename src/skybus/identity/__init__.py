"""Identity: who there is, what they may do and where, and which services the cloud has (OpenStack Identity API v3).

`people`, `projects` and `roles` are who and what there is, `catalog` the services. `login` finds out who somebody is,
and `auth` says so in a token, and when it ends. `delegation` and `credentials` let others act for a user; `federation`
and `ldap` know users of elsewhere. `limits` say what projects may own, and `audit` who did what.
"""

from skybus.identity.api import api
from skybus.identity.auth.keys import key_create, keys_ensure
from skybus.identity.auth.tokens import Tokens
from skybus.identity.bootstrap import bootstrap
from skybus.identity.directory import Directory
from skybus.identity.policies import RULES
from skybus.identity.service import Identity

__all__ = ["RULES", "Directory", "Identity", "Tokens", "api", "bootstrap", "key_create", "keys_ensure"]
