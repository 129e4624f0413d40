"""A private RabbitMQ node on loopback: own ports, own data, own epmd, one account per process that is not trusted.

Accounts are written as a definitions file that the node reads when it starts: each call of rabbitmqctl starts an Erlang
machine and takes longer than everything else here together.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import health, ports, processes
from .shell import run
from .state import State, write_private
from .trouble import Trouble

HOME = Path("/usr/lib/rabbitmq")
PROGRAMS = HOME / "bin"
"""The real programs. Those in /usr/sbin change user and lose the environment."""
VHOST = "skybus"
CONTROL = "skybus"
"""The control plane's account."""
MEMORY_MIB = 512
"""Of the broker, above which it takes no more messages."""
MEMORY_MIB_PER_HOST = 1
"""What it may use beyond that for each host: three quorum queues, with some 0.1 MiB each, and their consumers."""
NOTHING = ""
"""A permission that matches no name: RabbitMQ reads the empty string as "none"."""


def agent_permissions(kind: str, hosts: Sequence[str]) -> dict[str, str]:
    """What the broker lets an agent do: read the queues of its hosts, publish answers, declare nothing."""
    queues = "|".join(re.escape(host) for host in hosts)
    return {
        "configure": NOTHING,
        "write": r"^skybus\.answers$",
        "read": rf"^skybus\.command\.{re.escape(kind)}\.({queues})$",
    }


class RabbitMQ:
    """One node in `state`. `agents` maps the account of each agent to its permissions; `hosts` counts hosts."""

    def __init__(
        self, state: State, chosen: Mapping[str, int], agents: Mapping[str, Mapping[str, str]], hosts: int = 1
    ) -> None:
        self.state = state
        self.home = state.root / "rabbitmq"
        self.port = chosen["amqp"]
        self.dist_port = chosen["amqp-distribution"]
        self.epmd_port = chosen["epmd"]
        self.agents = agents
        self.memory_mib = MEMORY_MIB + MEMORY_MIB_PER_HOST * hosts

    def url(self, account: str = CONTROL) -> str:
        """How `account` connects."""
        return f"amqp://{account}:{self.state.secret(f'amqp {account}')}@127.0.0.1:{self.port}/{VHOST}"

    def up(self) -> str:
        """Have the node running, with all accounts, accepting connections."""
        if not PROGRAMS.exists():
            raise Trouble("RabbitMQ is not installed", "apt-get install rabbitmq-server, or run without --workers")
        self.write_files()
        changed = write_private(self.home / "definitions.json", json.dumps(self.definitions(), indent=1))
        known = processes.find(self.state, "rabbitmq")
        sick = ""
        if known and known.alive() and (sick := self.sickness()):
            processes.stop(self.state, known)
            shutil.rmtree(self.home / "mnesia")
            self.write_files()
        elif known and known.alive():
            if changed:
                self.ctl("import_definitions", str(self.home / "definitions.json"))
            return "was running" + (", accounts changed" if changed else "")
        for port, what in ((self.port, "RabbitMQ"), (self.dist_port, "RabbitMQ's distribution")):
            ports.need_free(port, what)
        self.start_epmd()
        record = processes.start(
            self.state, "rabbitmq", [PROGRAMS / "rabbitmq-server"], env=self.env(), cwd=self.home, grace=40
        )
        health.wait(self.state, record, self.ready, 90)
        return f"begun anew: {sick}" if sick else ""

    def sickness(self) -> str:
        """Why a running node has to begin anew, without its data; empty when it works. One whose disk was full listens
        and keeps no message, and a queue whose log was cut off does not come back with a new start either. The database
        has all that matters: the conductor gives an empty broker its queues, and asks and tells again what was in them.
        """
        said = self.ctl("list_queues", "-p", VHOST, "name", "state", timeout=60)
        down = [line.split()[0] for line in said.splitlines() if line.split()[-1:] == ["down"]]
        return f"{len(down)} queues were down" if down else ""

    def start_epmd(self) -> None:
        """Erlang's name service, in the foreground as a process of ours, so that we may stop it."""
        record = processes.start(
            self.state, "epmd", ["epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)], cwd=self.home, grace=5
        )
        health.wait(self.state, record, lambda: ports.listening(self.epmd_port), 10)

    def ready(self) -> bool:
        """Whether the node has finished starting: it opens its port last."""
        return ports.listening(self.port)

    def write_files(self) -> None:
        """Folders, configuration and cookie. Files are written only when they differ."""
        for folder in ("", "home", "mnesia", "log"):
            (self.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        cookie = self.home / "home" / ".erlang.cookie"
        if write_private(cookie, self.state.secret("erlang-cookie").replace("-", "x").replace("_", "y")):
            cookie.chmod(0o600)
        write_private(self.home / "enabled_plugins", "[].\n")
        # Every queue looks at itself this often, in ms. Three thousand of them did little else at the usual 5 s.
        write_private(self.home / "advanced.config", "[{rabbit, [{quorum_tick_interval, 30000}]}].\n")
        write_private(
            self.home / "rabbitmq.conf",
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {self.home / 'definitions.json'}\n"
            "disk_free_limit.absolute = 200MB\n"
            f"vm_memory_high_watermark.absolute = {self.memory_mib}MB\n"
            "loopback_users = none\n"
            "raft.wal_max_size_bytes = 67108864\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n",
        )

    def definitions(self) -> dict[str, object]:
        """The virtual host, the accounts and what each may do."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        accounts = {CONTROL: everything, **self.agents}
        return {
            "vhosts": [{"name": VHOST}],
            "users": [self.account(name) for name in accounts],
            "permissions": [{"user": name, "vhost": VHOST, **may} for name, may in accounts.items()],
        }

    def account(self, name: str) -> dict[str, object]:
        """An account with its password as RabbitMQ stores it: salted SHA-256 of a long random password."""
        password = self.state.secret(f"amqp {name}").encode()
        salt = hashlib.sha256(b"salt of " + password).digest()[:4]  # the same each time, so the file does not change
        return {
            "name": name,
            "password_hash": base64.b64encode(salt + hashlib.sha256(salt + password).digest()).decode(),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": [],
        }

    def ctl(self, *words: str, timeout: float = 30) -> str:
        """Run rabbitmqctl against this node. Slow: seconds."""
        return run([PROGRAMS / "rabbitmqctl", "-q", *words], f"rabbitmqctl {words[0]}", timeout=timeout, env=self.env())

    def write_ctl_script(self, path: Path) -> Path:
        """A small script that is rabbitmqctl for this node, for tests and operators."""
        lines = [f"export {key}='{value}'" for key, value in self.env().items()]
        path.write_text("#!/bin/sh\n" + "\n".join(lines) + f'\nexec {PROGRAMS}/rabbitmqctl -q "$@"\n')
        path.chmod(0o700)
        return path

    def env(self) -> dict[str, str]:
        """What makes the programs this node's: nothing of it lies outside the state folder."""
        cores = max(1, (os.cpu_count() or 1) // 2)
        return {
            "HOME": str(self.home / "home"),
            "LANG": "C.UTF-8",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": f"{self.state.prefix}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_LOG": "-color",
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            # Half of the cores, and no spinning when idle: the machine has other work. The distribution on loopback
            # alone.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {cores}:{cores} +sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "yes",  # the script becomes the node itself, so the recorded pid is the node's
        }
