"""A real directory for tests: slapd in a folder and on a loopback port of its own, with a few people and groups."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from skybus.identity.ldap import ldap_ber as ber
from skybus.identity.ldap.ldap_connection import Connection
from support.certificates import write_certificates
from support.loopback import free_port

PROGRAM = Path("/usr/sbin/slapd")
SUFFIX = "dc=people,dc=example"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "reads and writes nothing"
ROOT, ROOT_PASSWORD = f"cn=root,{SUFFIX}", "a root of this test alone"
PASSWORD = "only the directory knows"
START_SECONDS = 30.0
CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
sizelimit {sizelimit}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/data
maxsize 67108864
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by anonymous auth by * none
"""
PEOPLE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "alice": {"sn": ["Alice"], "mail": ["alice@people.example"], "employeeType": ["TRUE"], "employeeNumber": ["512"]},
    "bob": {"sn": ["Bob"], "employeeType": ["TRUE"], "employeeNumber": ["512"]},
    "carol": {"sn": ["Carol"], "employeeType": ["FALSE"], "employeeNumber": ["514"]},
    "w*ld (card)\\": {"sn": ["*)(uid=*"], "employeeType": ["TRUE"]},
}
GROUPS: Mapping[str, Sequence[str]] = {"engineers": ("alice",), "everybody": ("alice", "bob", "carol")}


def dn_of(name: str) -> str:
    """The name of a person's entry, escaped (RFC 4514)."""
    escaped = "".join(f"\\{letter}" if letter in ',+"\\<>;=' else letter for letter in name)
    return f"uid={escaped},ou=people,{SUFFIX}"


def group_dn(name: str) -> str:
    """The name of a group's entry."""
    return f"cn={name},ou=groups,{SUFFIX}"


class Slapd:
    """One directory, running or not."""

    def __init__(self, folder: Path, *, sizelimit: int = 500) -> None:
        self.folder, self.sizelimit = folder, sizelimit
        self.port, self.tls_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        # A copy: where AppArmor guards the original, it may read nothing of ours.
        self.program = folder / "slapd"

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    def make(self) -> None:
        """Its configuration and its entries."""
        (self.folder / "data").mkdir()
        shutil.copy(PROGRAM, self.program)
        write_certificates(self.folder)
        conf = CONF.format(
            folder=self.folder, suffix=SUFFIX, root=ROOT, root_password=f'"{ROOT_PASSWORD}"', reader=READER,
            sizelimit=self.sizelimit,
        )  # fmt: skip
        (self.folder / "slapd.conf").write_text(conf)
        (self.folder / "people.ldif").write_text("\n\n".join(_ldif()) + "\n")
        words = [self.program, "-T", "add", "-f", self.folder / "slapd.conf", "-l", self.folder / "people.ldif"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    async def start(self) -> None:
        """Run, and answer."""
        words = [
            self.program,
            "-d",
            "0",
            "-f",
            self.folder / "slapd.conf",
            "-h",
            f"{self.url} ldaps://127.0.0.1:{self.tls_port}",
        ]
        with (self.folder / "slapd.log").open("ab") as output:
            self.process = subprocess.Popen(words, stdout=output, stderr=output)
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    (await self._open()).close()
                    return
                except OSError:
                    assert self.process.poll() is None, (self.folder / "slapd.log").read_text()[-2000:]
                    await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Be away."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self.process.wait, 10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                await asyncio.to_thread(self.process.wait, 10)
            self.process = None

    def freeze(self) -> None:
        """Take connections, and say nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def _open(self) -> Connection:
        return await Connection.open("127.0.0.1", self.port, tls=None, start_tls=False)

    # --- what its own administrators do; our cloud has no code for it

    async def write(self, operation: bytes, answer: int) -> None:
        connection = await self._open()
        try:
            await connection.bind(ROOT, ROOT_PASSWORD)
            content, _ = await connection._ask(operation, answer)
            code = ber.number(next(ber.values(content))[1])
            assert code == 0, (code, content)
        finally:
            connection.close()

    async def replace(self, dn: str, attribute: str, *values: str) -> None:
        """Give an attribute these values."""
        change = ber.sequence(ber.octets(attribute), ber.sequence(*map(ber.octets, values), tag=ber.SET))
        changes = ber.sequence(ber.sequence(ber.enumerated(2), change))
        await self.write(ber.sequence(ber.octets(dn), changes, tag=0x66), 0x67)

    async def delete(self, dn: str) -> None:
        """Remove an entry."""
        await self.write(ber.octets(dn, 0x4A), 0x6B)

    async def add(self, dn: str, attributes: Mapping[str, Sequence[str]]) -> None:
        """Make an entry."""
        listed = [
            ber.sequence(ber.octets(name), ber.sequence(*map(ber.octets, values), tag=ber.SET))
            for name, values in attributes.items()
        ]
        await self.write(ber.sequence(ber.octets(dn), ber.sequence(*listed), tag=0x68), 0x69)


@asynccontextmanager
async def slapd(folder: Path, **more: Any) -> AsyncIterator[Slapd]:
    """A running directory."""
    directory = Slapd(folder, **more)
    directory.make()
    try:
        await directory.start()
        yield directory
    finally:
        if directory.process is not None:
            directory.thaw()
        await directory.stop()


def options(url: str, /, **more: Any) -> dict[str, Any]:
    """A domain's options for this directory."""
    ldap = {
        "url": url,
        "user": READER,
        "password": READER_PASSWORD,
        "suffix": SUFFIX,
        "user_tree_dn": f"ou=people,{SUFFIX}",
        "user_id_attribute": "uid",
        "user_name_attribute": "uid",
        "user_enabled_attribute": "employeeType",
        "group_tree_dn": f"ou=groups,{SUFFIX}",
        "group_name_attribute": "cn",
        **more,
    }
    return {"identity": {"driver": "ldap"}, "ldap": ldap}


def person(name: str) -> dict[str, Sequence[str]]:
    """The attributes of a person."""
    known = {"objectClass": ["inetOrgPerson"], "uid": [name], "cn": [name], "sn": [name], "userPassword": [PASSWORD]}
    return {**known, **PEOPLE.get(name, {"employeeType": ["TRUE"]})}


def _ldif() -> list[str]:
    yes = [f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: people\no: people"]
    yes += [f"dn: ou={name},{SUFFIX}\nobjectClass: organizationalUnit\nou: {name}" for name in ("people", "groups")]
    yes.append(
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n"
        f"userPassword: {READER_PASSWORD}"
    )
    for name in PEOPLE:
        lines = [f"{key}: {value}" for key, values in person(name).items() for value in values]
        yes.append("\n".join([f"dn: {dn_of(name)}", *lines]))
    for name, members in GROUPS.items():
        lines = [f"member: {dn_of(member)}" for member in members]
        yes.append("\n".join([f"dn: {group_dn(name)}", "objectClass: groupOfNames", f"cn: {name}", *lines]))
    return yes
