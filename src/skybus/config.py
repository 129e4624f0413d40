"""One TOML file configures every process. `SKYBUS_CONFIG` names it; each section is one struct below.

Unknown sections and keys are errors, so that a typing mistake is found at start and not in production.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the key."""


class Database(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata store. Control-plane processes alone have this section."""

    dsn: str
    pool_size: int = 8
    """Connections per process."""
    statement_seconds: float = 15.0
    """Deadline of one statement."""


class Bus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message bus."""

    url: str = "memory:"
    """`amqp://user:password@host:port/vhost`, or `memory:` when everything runs in one process."""
    prefetch: int = 64
    """Messages that one consumer holds unacknowledged."""
    delivery_limit: int = 20
    """Deliveries after which a message goes to the dead letters. A lost connection, or a process that died of something
    else, counts as one too."""
    publish_seconds: float = 10.0
    """Deadline of a publish, its confirm included."""


class OpenIdProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider of OpenID Connect whose tokens the gateway may check; an identity provider that has `issuer` among
    its remote ids uses it."""

    issuer: str
    """As the provider writes it. `https`, or `http` on loopback."""
    audience: list[str] = []
    """For whom its tokens must be meant; empty means `client_id`."""
    client_id: str = ""
    client_secret: str = ""
    """With it, the provider is asked what opaque tokens mean (RFC 7662)."""
    hosts: list[str] = []
    """Where its keys and its introspection may lie, when that is not the issuer's host."""
    ca_file: Path | None = None
    """Who vouches for its certificate, instead of whom the system trusts."""
    seconds: float = 5.0
    """Deadline of one question."""

    def __post_init__(self) -> None:
        """Raises ValueError for a provider that could not be believed."""
        if not self.issuer.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
            raise ValueError(f"the issuer {self.issuer} must begin with https://")
        if not self.audience and not self.client_id:
            raise ValueError(f"the issuer {self.issuer} needs an audience or a client_id")

    def __repr__(self) -> str:
        return f"OpenIdProvider(issuer={self.issuer!r}, client_id={self.client_id!r})"


class Gateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The front door."""

    host: str = "127.0.0.1"
    port: int = 8774
    public_url: str = ""
    """What clients reach us under; empty means http://host:port."""
    token_key_dir: Path = Path("keys")
    """Folder of token signing keys; the newest signs, all verify."""
    credential_key_dir: Path = Path("credential-keys")
    """Folder of the keys that users' credentials are encrypted with."""
    token_seconds: int = 3600
    revocation_trust_seconds: float = 5.0
    """How long tokens are believed after the database last said which were revoked; from then on the answer is 503."""
    password_rounds: int = 12
    """bcrypt cost."""
    max_body_bytes: int = 114_688
    image_dir: Path = Path("images")
    """The filesystem image store."""
    openid: list[OpenIdProvider] = []
    """Providers of OpenID Connect: one section `[[gateway.openid]]` each."""
    openid_file: Path | None = None
    """More of them, as sections `[[openid]]` of a file of their own; it need not be there."""
    policy_file: Path | None = None
    """policy.yaml: rules that operators put in the place of ours. It may be missing, and come later."""
    limit_model: Literal["flat", "strict_two_level"] = "flat"
    """Whether limits of domains bind those of their projects: Keystone's [unified_limit] enforcement_model."""

    def __post_init__(self) -> None:
        """Raises ValueError for what would let tokens outlive their revocations, or nobody in."""
        if not 1 <= self.token_seconds <= 172_800:
            raise ValueError("token_seconds must be 1 to 172800: with allow_expired_window, what revocations are kept")
        if not 1 <= self.revocation_trust_seconds <= 300:
            raise ValueError("revocation_trust_seconds must be 1 to 300")

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging in. Keystone's option stands behind each, where it has one."""

    allow_expired_window: int = 172_800
    """Seconds after its end for which a token can still be looked at with `allow_expired`: [token]."""
    receipt_seconds: int = 300
    """How long an auth receipt waits for the other methods: [receipt] expiration."""
    totp_previous_windows: int = 1
    """Steps of 30 s before the present one whose passcode is still good, 0 to 10: [totp] included_previous_windows."""

    def __post_init__(self) -> None:
        """Raises ValueError for what would make a receipt or a passcode good for too long."""
        if not 0 <= self.totp_previous_windows <= 10:
            raise ValueError("totp_previous_windows must be 0 to 10")
        if not 1 <= self.receipt_seconds <= 86_400:
            raise ValueError("receipt_seconds must be 1 to 86400")
        if not 0 <= self.allow_expired_window <= 172_800:
            raise ValueError("allow_expired_window must be 0 to 172800: with token_seconds, what revocations are kept")


class SecurityCompliance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What passwords and logins must obey, under Keystone's names; nothing is demanded unless it is set."""

    lockout_failure_attempts: int | None = None
    """Wrong passwords after which a user is locked."""
    lockout_duration: int = 1800
    """Seconds; 0 locks until an administrator enables the user."""
    disable_user_account_days_inactive: int | None = None
    password_expires_days: int | None = None
    unique_last_password_count: int = 0
    """Passwords that a user may not choose again."""
    minimum_password_age: int = 0
    """Days for which a password that its user chose must be kept."""
    password_regex: str | None = None
    """What a password must match from its first letter."""
    password_regex_description: str = ""
    """The same for people: they read it when their password does not match."""
    change_password_upon_first_use: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for numbers and patterns that cannot be meant."""
        for name in ("lockout_failure_attempts", "disable_user_account_days_inactive", "password_expires_days"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, or left out")
        # Each remembered password costs a slow hash when a new one is chosen.
        if not 0 <= self.unique_last_password_count <= 24:
            raise ValueError("unique_last_password_count must be 0 to 24")
        if self.minimum_password_age < 0 or self.lockout_duration < 0:
            raise ValueError("minimum_password_age and lockout_duration must not be negative")
        if self.password_regex is not None:
            try:
                re.compile(self.password_regex)
            except re.error as error:
                raise ValueError(f"password_regex: {error}") from None


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the agents of one host share. A simulated agent may stand for several hosts."""

    name: str = "host-1"
    address: str = "127.0.0.1"
    """Underlay address: VXLAN tunnels and iSCSI sessions end here."""
    namespace: str | None = None
    """Network namespace that holds the host's data plane; None is the one we run in."""
    state_dir: Path = Path("host")
    """Disks, image cache, sockets, leases of this host."""
    simulated: int = 0
    """With simulated drivers: how many hosts, `<name>-0001` and on, this process stands for; 0 means `name` alone."""
    report_seconds: float = 10.0
    """Between two heartbeats."""


class Compute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The compute agent."""

    driver: Literal["libvirt", "simulated"] = "libvirt"
    libvirt_uri: str = "qemu:///system"
    virt_type: Literal["auto", "kvm", "qemu"] = "auto"
    """`auto` asks for a KVM guest that was seen to run, and falls back to QEMU's TCG."""
    image_cache_gib: int = 10
    simulated_vcpus: int = 64
    simulated_memory_mib: int = 262_144
    simulated_disk_gib: int = 4096
    simulated_seconds: float = 0.0
    """How long a simulated action takes."""


class Volume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The volume agent."""

    driver: Literal["file", "simulated"] = "file"
    capacity_gib: int = 0
    """Size of the pool; 0 means what the file system had free when the pool was made."""
    portal_port: int = 3260


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network agent."""

    driver: Literal["linuxbridge", "simulated"] = "linuxbridge"
    vxlan_port: int = 4789
    prefix: str = "sky"
    """First letters of every namespace we make, so that two clouds on one machine stay apart."""


class Scheduler(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Placement rules."""

    cpu_allocation_ratio: float = 4.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what is over is kept, in days; 0 keeps it for ever. The conductor deletes in small batches."""

    operations_days: float = 30.0
    """Operations that ended. One that is parked as failed stays until it was acknowledged."""
    events_days: float = 90.0
    """The event log. A subscriber that asks for what is older is told where the log begins."""
    audit_days: float = 365.0
    """The audit trail of identity."""
    dead_letters_days: float = 30.0
    """Dead letters that were sent again or discarded. The others stay."""


class Worker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every process has."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Port of /healthz and /metrics; 0 means none."""
    grace_seconds: float = 10.0
    """How long a stopping process finishes what it has in hand."""
    start_seconds: float = 120.0
    """How long a starting process waits for the broker and its queues."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    database: Database | None = None
    bus: Bus = Bus()
    gateway: Gateway = Gateway()
    identity: Identity = Identity()
    security_compliance: SecurityCompliance = SecurityCompliance()
    host: Host = Host()
    compute: Compute = Compute()
    volume: Volume = Volume()
    network: Network = Network()
    scheduler: Scheduler = Scheduler()
    retention: Retention = Retention()
    worker: Worker = Worker()

    def need_database(self) -> Database:
        """The database section. Raises ConfigError in a process that has none, as a host agent does not."""
        if self.database is None:
            raise ConfigError("this process needs the database, and its configuration has no [database] section")
        return self.database


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """Read the configuration from `path` or from where `SKYBUS_CONFIG` points. Raises ConfigError."""
    name = path or os.environ.get("SKYBUS_CONFIG")
    if not name:
        raise ConfigError("no configuration: set SKYBUS_CONFIG to the path of skybus.toml")
    try:
        with Path(name).open("rb") as file:
            return msgspec.convert(tomllib.load(file), Config, dec_hook=_convert)
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name}: {error}") from error


class _OpenIdFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    openid: list[OpenIdProvider] = []


def openid_providers(gateway: Gateway) -> list[OpenIdProvider]:
    """Every provider of OpenID Connect that the configuration names. Raises ConfigError."""
    path = gateway.openid_file
    if path is None or not path.exists():
        return gateway.openid
    try:
        with path.open("rb") as file:
            more = msgspec.convert(tomllib.load(file), _OpenIdFile, dec_hook=_convert)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return [*gateway.openid, *more.openid]


def _convert(kind: type[Any], value: Any) -> Any:
    """What TOML has no type for."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")
