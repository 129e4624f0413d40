"""A guest of the cloud who knows the openstack command alone, and remembers which of its commands were used."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from support.process_cloud import ProcessCloud

SHELL = Path(__file__).with_name("openstack_shell.py")
COMMAND_SECONDS = 60
"""Deadline of one command; the first loads the client."""
PASSWORD = "correct horse battery staple"

Word = str | Path


def commands() -> set[str]:
    """Every identity command of the installed client, as in `user create`."""
    return {point.name.replace("_", " ") for point in entry_points(group="openstack.identity.v3")}


class Tour:
    """Runs commands one after another. `cloud` names an entry of clouds.yaml: who runs the command, and where."""

    password = PASSWORD
    """Of every person."""

    def __init__(self, processes: ProcessCloud, folder: Path) -> None:
        self.processes = processes
        self.folder = folder
        self.used: set[str] = set()
        self._known = commands()
        self._clouds = {"password": processes.entry}
        self._write_clouds()
        self._shell = subprocess.Popen(
            [sys.executable, SHELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
            env=processes.environment | {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")},
        )  # fmt: skip
        token = self.json("token", "issue", cloud="password")
        self.project_id, self.user_id, self.token = token["project_id"], token["user_id"], str(token["id"])
        self.add_cloud("admin", "v3token", token=self.token, project_id=self.project_id)
        self.add_cloud("system", "v3token", token=self.token, system_scope="all")

    def close(self) -> None:
        """End the shell."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(10)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._shell.stdout.close()

    # --- commands

    def do(self, *words: Word, cloud: str = "admin") -> str:
        """What the command prints. Raises AssertionError when it fails."""
        said = self._run(cloud, words)
        assert said["code"] == 0, f"openstack {' '.join(map(str, words))}: {said['err'] or said['out']}"
        return str(said["out"])

    def told(self, *words: Word, cloud: str = "admin") -> str:
        """What the command says beside what it prints."""
        said = self._run(cloud, words)
        assert said["code"] == 0, f"openstack {' '.join(map(str, words))}: {said['err'] or said['out']}"
        return str(said["err"])

    def tried(self, *words: Word, cloud: str = "admin") -> None:
        """Run a command whose exit status means nothing; its effect is looked at otherwise."""
        self._run(cloud, words)

    def json(self, *words: Word, cloud: str = "admin") -> Any:
        """The same as JSON."""
        return json.loads(self.do(*words, "-f", "json", cloud=cloud))

    def column(self, name: str, *words: Word, cloud: str = "admin") -> list[Any]:
        """One column of a list."""
        return [row[name] for row in self.json(*words, cloud=cloud)]

    def refused(self, reason: str, *words: Word, cloud: str = "admin") -> None:
        """The command must fail, and say `reason`."""
        said = self._run(cloud, words)
        shown = f"openstack {' '.join(map(str, words))}: {said['out']}{said['err']}"
        assert said["code"] != 0, shown
        assert reason in shown.partition(": ")[2], shown
        assert "Traceback" not in str(said["err"]), shown

    def _run(self, cloud: str, words: tuple[Word, ...]) -> dict[str, Any]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        plain = [str(word) for word in words]
        self.used |= {" ".join(plain[:count]) for count in (1, 2, 3, 4)} & self._known
        self._shell.stdin.write(json.dumps(["--os-cloud", cloud, *plain]) + "\n")
        self._shell.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            assert selector.select(COMMAND_SECONDS), f"{plain} took more than {COMMAND_SECONDS} s"
        answer: dict[str, Any] = json.loads(self._shell.stdout.readline())
        return answer

    # --- who runs them

    def add_cloud(self, name: str, auth_type: str, **auth: str) -> str:
        """A new entry of clouds.yaml; its name."""
        entry = {**self._clouds["password"], "auth_type": auth_type}
        scope = {key: auth.pop(key) for key in ("system_scope",) if key in auth}
        entry["auth"] = {"auth_url": self.processes.url, **auth, **scope}
        self._clouds[name] = entry
        self._write_clouds()
        return name

    def _write_clouds(self) -> None:
        path = self.folder / "clouds.yaml"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"clouds": self._clouds}))
        draft.chmod(0o600)
        os.replace(draft, path)

    def person(self, role: str = "member") -> Person:
        """A new user with a role on a new project, who has logged in there."""
        user = self.json("user", "create", "--password", PASSWORD, new_name("person"))
        project = self.json("project", "create", new_name("place"))
        self.do("role", "add", "--user", user["id"], "--project", project["id"], role)
        name = user["name"]
        self.add_cloud(
            f"{name}-password", "v3password", user_id=user["id"], password=PASSWORD, project_id=project["id"]
        )
        token = self.json("token", "issue", cloud=f"{name}-password")["id"]
        self.add_cloud(name, "v3token", token=token, project_id=project["id"])
        return Person(name, user["id"], project["id"], project["name"])

    def gone(self, person: Person) -> None:
        """Delete the person and the project."""
        self.do("user", "delete", person.id)
        self.do("project", "delete", person.project_id)

    def file(self, content: Any) -> Path:
        """A new file with `content` as JSON."""
        path = self.folder / f"{new_name('file')}.json"
        path.write_text(json.dumps(content))
        return path


class Person:
    """A user, and the entries of clouds.yaml by which it runs commands: with a token, and with its password."""

    def __init__(self, name: str, user_id: str, project_id: str, project: str) -> None:
        self.name, self.id, self.project_id, self.project = name, user_id, project_id, project
        self.cloud, self.by_password = name, f"{name}-password"


def new_name(what: str) -> str:
    """A name that nothing has yet."""
    return f"{what}-{secrets.token_hex(4)}"
