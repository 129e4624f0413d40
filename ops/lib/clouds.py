"""Tell OpenStack's clients where the cloud is and how to get in: clouds.yaml, and openrc beside it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from . import venv
from .state import State, write_private

ADMIN_SECRET = "admin"


def auth_url(port: int) -> str:
    """Where one gets a token."""
    return f"http://127.0.0.1:{port}/identity/v3"


def password_file(state: State) -> Path:
    """A file with the admin's password alone, for `skybus bootstrap`."""
    path = state.etc / "admin-password"
    write_private(path, state.secret(ADMIN_SECRET) + "\n")
    return path


def write(state: State, port: int) -> tuple[Path, Path]:
    """Both files, mode 600. Returns their paths."""
    login = {
        "auth_url": auth_url(port),
        "username": "admin",
        "password": state.secret(ADMIN_SECRET),
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    clouds, openrc = state.root / "clouds.yaml", state.root / "openrc"
    cloud = {"auth": login, "region_name": "RegionOne", "identity_api_version": "3", "interface": "public"}
    # JSON is YAML, and the standard library writes it.
    write_private(clouds, json.dumps({"clouds": {"skybus": cloud}}, indent=2) + "\n")
    lines = [f"export OS_{key.upper()}='{value}'" for key, value in login.items()]
    lines += [
        "export OS_REGION_NAME=RegionOne",
        "export OS_IDENTITY_API_VERSION=3",
        "export OS_INTERFACE=public",
        f"export OS_CLIENT_CONFIG_FILE='{clouds}'",
        f"export SKYBUS_CONFIG='{state.etc / 'skybus.toml'}'",
        f"export SKYBUS_STATE='{state.root}'",
        f"case :$PATH: in *:'{state.bin}':*) ;; *) PATH='{state.bin}':$PATH ;; esac",
    ]
    write_private(openrc, "# Source this: `. openrc`, then `openstack server list`.\n" + "\n".join(lines) + "\n")
    return clouds, openrc


def link_programs(state: State) -> None:
    """`openstack` and `skybus` in one folder, which openrc puts on the PATH."""
    for name in ("openstack", "skybus"):
        link = state.bin / name
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        os.symlink(venv.program(name), link)
