"""Write the configuration files: one per process, mode 600; those of agents hold no database and their own account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .hosts import Host
from .postgres import Postgres
from .rabbitmq import CONTROL, RabbitMQ
from .shape import Service, Shape
from .state import State, write_private

Sections = dict[str, dict[str, object]]

COMPLIANCE: dict[str, object] = {
    "lockout_failure_attempts": 5,
    "lockout_duration": 5,
    "unique_last_password_count": 2,
}
"""Strict enough that Tempest can see it work, and short enough to wait for."""


def write_all(
    state: State, shape: Shape, ports: Mapping[str, int], postgres: Postgres, rabbitmq: RabbitMQ | None
) -> dict[str, Path]:
    """Every process's file, and `skybus.toml` for the commands of an operator. Untouched where nothing changed."""
    files = {"skybus": put(state, "skybus.toml", control(state, shape, ports, postgres, rabbitmq, None))}
    for service in shape.services():
        if service.is_agent:
            assert rabbitmq is not None
            sections = agent(state, shape, ports, rabbitmq, service)
        else:
            sections = control(state, shape, ports, postgres, rabbitmq, service)
        files[service.name] = put(state, service.config_name, sections)
    return files


def control(
    state: State, shape: Shape, ports: Mapping[str, int], postgres: Postgres, rabbitmq: RabbitMQ | None,
    service: Service | None,
) -> Sections:  # fmt: skip
    """For a process of the control plane."""
    sections: Sections = {
        "database": {"dsn": postgres.dsn, "pool_size": 8},
        "bus": {"url": rabbitmq.url() if rabbitmq else "memory:"},
        "gateway": {
            "host": "127.0.0.1",
            "port": ports["gateway"],
            "token_key_dir": state.root / "keys",
            "credential_key_dir": state.root / "credential-keys",
            "image_dir": state.root / "images",
            "policy_file": state.root / "policy.yaml",
            "openid_file": state.root / "openid.toml",
        },
        "security_compliance": COMPLIANCE,
        "worker": {"http_host": "127.0.0.1", "http_port": ports[service.name] if service else 0},
    }
    return sections if shape.processes else sections | on_host(state, shape, ports)


def agent(state: State, shape: Shape, ports: Mapping[str, int], rabbitmq: RabbitMQ, service: Service) -> Sections:
    """For an agent on a host."""
    return {
        "bus": {"url": rabbitmq.url(service.name if shape.real else CONTROL)},
        "worker": {"http_host": "127.0.0.1", "http_port": ports[service.name]},
        **on_host(state, shape, ports),
    }


def report_seconds(hosts: int) -> float:
    """Between two heartbeats of a host: the more hosts, the less often. One that is silent for 60 s is down."""
    return float(min(max(10, hosts // 50), 20))


def on_host(state: State, shape: Shape, ports: Mapping[str, int]) -> Sections:
    """What the agents of a host need to know about it."""
    if not shape.real:
        return {
            "host": {
                "name": shape.agent_host(),
                "state_dir": state.hosts / "simulated",
                "simulated": shape.hosts,
                "report_seconds": report_seconds(shape.hosts),
            },
            "compute": {"driver": "simulated"},
            "volume": {"driver": "simulated"},
            "network": {"driver": "simulated"},
        }
    host = Host(state)
    return {
        "host": {
            "name": host.name, "address": host.address, "namespace": host.namespace, "state_dir": host.folder,
        },
        "compute": {"driver": "libvirt", "libvirt_uri": host.libvirt_uri, "virt_type": "auto"},
        "volume": {"driver": "file", "portal_port": ports["iscsi"]},
        "network": {"driver": "linuxbridge", "prefix": state.prefix},
    }  # fmt: skip


def put(state: State, name: str, sections: Sections) -> Path:
    """Write `sections` as TOML."""
    text = "# Written by ops/up.\n"
    for title, values in sections.items():
        text += f"\n[{title}]\n"
        text += "".join(f"{key} = {toml(value)}\n" for key, value in values.items())
    write_private(state.etc / name, text)
    return state.etc / name


def toml(value: object) -> str:
    """A number, a truth or a string as TOML writes it; JSON's escapes are also TOML's."""
    return json.dumps(str(value) if isinstance(value, Path) else value)
