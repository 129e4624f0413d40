"""The settings of a directory, by Keystone's option names: what may be set, their defaults, and what they mean to us.

Options of writing to a directory, which nobody here does, are kept and shown for the sake of those who have them, and
do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from skybus.bus.message import Discreet
from skybus.identity.ldap.ldap_filters import FilterError, is_attribute, written

Value = str | int | float | bool | list[str] | None
Options = Mapping[str, Mapping[str, Any]]

IDENTITY: Mapping[str, Value] = MappingProxyType({"driver": "sql", "list_limit": None})
LDAP: Mapping[str, Value] = MappingProxyType(
    {
        "url": "ldap://localhost",
        "user": None,
        "suffix": "cn=example,cn=com",
        "query_scope": "one",
        "page_size": 0,
        "alias_dereferencing": "default",
        "debug_level": None,
        "chase_referrals": None,
        "user_tree_dn": None,
        "user_filter": None,
        "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn",
        "user_name_attribute": "sn",
        "user_mail_attribute": "mail",
        "user_description_attribute": "description",
        "user_pass_attribute": "userPassword",
        "user_enabled_attribute": "enabled",
        "user_enabled_invert": False,
        "user_enabled_mask": 0,
        "user_enabled_default": "True",
        "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None,
        "user_enabled_emulation": False,
        "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False,
        "user_additional_attribute_mapping": [],
        "group_tree_dn": None,
        "group_filter": None,
        "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn",
        "group_name_attribute": "ou",
        "group_members_are_ids": False,
        "group_member_attribute": "member",
        "group_desc_attribute": "description",
        "group_attribute_ignore": [],
        "group_additional_attribute_mapping": [],
        "group_ad_nesting": False,
        "tls_cacertfile": None,
        "tls_cacertdir": None,
        "use_tls": False,
        "tls_req_cert": "demand",
        "use_pool": True,
        "pool_size": 10,
        "pool_retry_max": 3,
        "pool_retry_delay": 0.1,
        "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600,
        "use_auth_pool": True,
        "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    }
)  # fmt: skip
SECTIONS: Mapping[str, Mapping[str, Value]] = MappingProxyType({"identity": IDENTITY, "ldap": LDAP})
SECRETS: Mapping[str, tuple[str, ...]] = MappingProxyType({"identity": (), "ldap": ("password",)})
"""Options that are set and never shown."""

_AD_IN_CHAIN = "1.2.840.113556.1.4.1941"


class SettingsError(ValueError):
    """These settings name no directory that could be asked; the message says which option is wrong."""


class AddressError(SettingsError):
    """The address of the directory is none of a directory."""


class LdapSettings(Discreet, frozen=True, kw_only=True):
    """One domain's directory."""

    SECRETS = ("password",)

    urls: tuple[tuple[str, str, int], ...]
    """(scheme, host, port), in the order in which they are tried."""
    user: str
    password: str
    subtree: bool
    page_size: int
    user_tree: str
    user_filter: bytes | None
    user_class: str
    user_id: str
    user_name: str
    user_mail: str
    user_description: str
    user_enabled: str
    enabled_invert: bool
    enabled_mask: int
    enabled_default: str
    enabled_group: str | None
    """The group whose members are the enabled users, where that is how the directory says it."""
    user_project: str | None
    user_more: tuple[tuple[str, str], ...]
    """(attribute of the directory, attribute of ours)."""
    group_tree: str
    group_filter: bytes | None
    group_class: str
    group_id: str
    group_name: str
    group_member: str
    group_description: str
    members_are_ids: bool
    member_rule: str | None
    """The matching rule by which a directory looks into groups within groups."""
    ca_file: str | None
    ca_folder: str | None
    start_tls: bool
    certificates: Literal["demand", "allow", "never"]
    pool_size: int
    lifetime_seconds: float


def settings_of(options: Options) -> LdapSettings | None:
    """What a domain's options, secrets included, say; None when its users come from no directory.

    Raises SettingsError.
    """
    if options.get("identity", {}).get("driver") != "ldap":
        return None
    read = _Reader({**LDAP, "password": None, **options.get("ldap", {})})
    suffix = read.text("suffix")
    return LdapSettings(
        urls=read.urls(),
        user=read.text("user"),
        password=read.text("password"),
        subtree=read.choice("query_scope", ("one", "sub")) == "sub",
        page_size=read.number("page_size"),
        user_tree=read.text("user_tree_dn") or suffix,
        user_filter=read.filter("user_filter"),
        user_class=read.attribute("user_objectclass"),
        user_id=read.attribute("user_id_attribute"),
        user_name=read.attribute("user_name_attribute"),
        user_mail=read.attribute("user_mail_attribute"),
        user_description=read.attribute("user_description_attribute"),
        user_enabled=read.attribute("user_enabled_attribute"),
        enabled_invert=read.flag("user_enabled_invert"),
        enabled_mask=read.number("user_enabled_mask"),
        enabled_default=read.text("user_enabled_default"),
        enabled_group=read.emulation(suffix),
        user_project=read.attribute("user_default_project_id_attribute") or None,
        user_more=read.pairs("user_additional_attribute_mapping"),
        group_tree=read.text("group_tree_dn") or suffix,
        group_filter=read.filter("group_filter"),
        group_class=read.attribute("group_objectclass"),
        group_id=read.attribute("group_id_attribute"),
        group_name=read.attribute("group_name_attribute"),
        group_member=read.attribute("group_member_attribute"),
        group_description=read.attribute("group_desc_attribute"),
        members_are_ids=read.flag("group_members_are_ids"),
        member_rule=_AD_IN_CHAIN if read.flag("group_ad_nesting") else None,
        ca_file=read.text("tls_cacertfile") or None,
        ca_folder=read.text("tls_cacertdir") or None,
        start_tls=read.flag("use_tls"),
        certificates=read.choice("tls_req_cert", ("demand", "allow", "never")),
        pool_size=max(1, min(read.number("pool_size"), 64)) if read.flag("use_pool") else 1,
        lifetime_seconds=float(max(1, read.number("pool_connection_lifetime"))) if read.flag("use_pool") else 0.0,
    )


class _Reader:
    """Options as their kinds. Every method raises SettingsError that names the option."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def text(self, name: str) -> str:
        value = self.options[name]
        if value is None:
            return ""
        if isinstance(value, list | dict) or len(str(value)) > 4096 or "\x00" in str(value):
            raise SettingsError(f"{name} must be text")
        return str(value)

    def flag(self, name: str) -> bool:
        said = self.text(name).strip().lower()
        if said not in ("true", "false", "1", "0", "yes", "no", "on", "off", ""):
            raise SettingsError(f"{name} must be true or false")
        return said in ("true", "1", "yes", "on")

    def number(self, name: str) -> int:
        said = self.text(name).strip() or "0"
        if not said.lstrip("-").isdecimal() or len(said) > 9 or int(said) < 0:
            raise SettingsError(f"{name} must be a number that is not negative")
        return int(said)

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        said = self.text(name)
        if said not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}")
        return said

    def attribute(self, name: str) -> str:
        said = self.text(name).strip()
        if said and not is_attribute(said):
            raise SettingsError(f"{name} must be the name of an attribute")
        return said

    def filter(self, name: str) -> bytes | None:
        said = self.text(name).strip()
        try:
            return written(said) if said else None
        except FilterError as error:
            raise SettingsError(f"{name}: {error}") from None

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        value = self.options[name] or []
        listed = value if isinstance(value, list) else [part for part in str(value).split(",") if part]
        found = tuple(tuple(str(pair).strip().split(":")) for pair in listed[:64])
        if not all(len(pair) == 2 and is_attribute(pair[0]) and pair[1] for pair in found):
            raise SettingsError(f"{name} must be a list of pairs with a colon between them")
        return tuple((pair[0], pair[1]) for pair in found)

    def emulation(self, suffix: str) -> str | None:
        if not self.flag("user_enabled_emulation"):
            return None
        tree = self.text("user_tree_dn") or suffix
        return self.text("user_enabled_emulation_dn") or f"cn=enabled_users,{tree}"

    def urls(self) -> tuple[tuple[str, str, int], ...]:
        found = []
        for one in self.text("url").split(",")[:8]:
            parts = urlsplit(one.strip())
            try:
                port = parts.port or (636 if parts.scheme == "ldaps" else 389)
            except ValueError:
                port = 0
            if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or not port:
                raise AddressError("url must be one or several of ldap://host:port and ldaps://host:port")
            found.append((parts.scheme, parts.hostname, port))
        return tuple(found)
