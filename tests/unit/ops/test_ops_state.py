"""What a cloud keeps in its folder: its id, its ports, its secrets, its configuration."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from lib import config, leftovers, ports, shape
from lib.postgres import Postgres
from lib.rabbitmq import RabbitMQ, agent_permissions
from lib.state import State
from lib.trouble import Trouble

from skybus.config import load


def test_secrets_are_drawn_once_and_readable_by_their_owner_alone(state: State) -> None:
    first = state.secret("postgres")
    assert state.secret("postgres") == first
    assert state.secret("other") != first
    assert stat.S_IMODE(state.secrets_file.stat().st_mode) == 0o600


def test_a_folder_with_something_else_in_it_is_refused(state: State) -> None:
    folder = state.root / "home"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(Trouble, match="not empty"):
        State(folder).make()


def test_chosen_ports_are_remembered(state: State) -> None:
    first = ports.choose(state, ["gateway", "postgres"])
    assert ports.choose(state, ["gateway", "postgres"]) == first


def test_a_wanted_port_that_is_taken_is_refused(state: State) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Trouble, match="is taken"):
            ports.choose(state, ["gateway"], {"gateway": taken.getsockname()[1]})


def test_a_second_cloud_up_at_once_is_refused(state: State) -> None:
    with state.locked(), pytest.raises(Trouble, match="another up or down"), state.locked():
        pass


@pytest.mark.parametrize("simulated", [False, True])
def test_every_process_gets_a_configuration_that_it_understands(state: State, simulated: bool) -> None:
    form = shape.Shape.asked(simulated=simulated, workers=True, hosts=3, gateways=2)
    chosen = ports.choose(state, form.port_names())
    store, bus = Postgres(state, Path(), chosen["postgres"]), RabbitMQ(state, chosen, form.accounts())
    files = config.write_all(state, form, chosen, store, bus)
    for service in form.services():
        assert (load(files[service.name]).database is None) is service.is_agent
        assert stat.S_IMODE(files[service.name].stat().st_mode) == 0o600


def test_everything_in_one_process_needs_no_broker(state: State) -> None:
    form = shape.Shape.asked(simulated=True, workers=False, hosts=3, gateways=2)
    chosen = ports.choose(state, form.port_names())
    files = config.write_all(state, form, chosen, Postgres(state, Path(), chosen["postgres"]), None)
    assert load(files["all"]).bus.url == "memory:"
    assert load(files["all"]).host.simulated == 3


def test_no_configuration_of_an_agent_holds_a_secret_of_the_control_plane(state: State) -> None:
    form = shape.Shape.asked(simulated=False, workers=True, hosts=1, gateways=2)
    chosen = ports.choose(state, form.port_names())
    store, bus = Postgres(state, Path(), chosen["postgres"]), RabbitMQ(state, chosen, form.accounts())
    files = config.write_all(state, form, chosen, store, bus)
    hidden = [state.secret("postgres"), state.secret("postgres-admin"), state.secret("amqp skybus")]
    for service in form.services():
        if service.is_agent:
            assert not any(secret in files[service.name].read_text() for secret in hidden)


@pytest.mark.parametrize(
    ("queue", "allowed"),
    [
        ("skybus.command.compute.host-1", True),
        ("skybus.command.compute.host-10", False),
        ("skybus.command.volume.host-1", False),
        ("skybus.command.computeXhost-1", False),
        ("skybus.command.scheduler", False),
    ],
)
def test_an_agent_reads_its_own_queue_alone(queue: str, allowed: bool) -> None:
    may = agent_permissions("compute", ["host-1"])
    assert bool(re.search(may["read"], queue)) is allowed
    assert (may["configure"], may["write"]) == ("", r"^skybus\.answers$")


def test_left_overs_are_told_from_things_of_others() -> None:
    mark = leftovers.Mark(Path("/tmp/some-cloud"), "skyabc")
    assert leftovers.bears(mark, "skyabc-host-1")
    assert leftovers.bears(mark, "/dev/loop0 /tmp/some-cloud/disk")
    assert not leftovers.bears(mark, "skyabd-host-1")
    assert leftovers.bears(mark, "postgres -D /tmp/some-cloud")
    assert not leftovers.bears(mark, "postgres -D /tmp/some-cloud-2/data")


def test_what_appeared_is_named_by_kind() -> None:
    before = {"namespace": {"a"}, "mount": {"/"}}
    assert leftovers.appeared(before, {"namespace": {"a", "b"}, "mount": {"/"}}) == ["namespace: b"]


def test_a_daemon_is_of_the_run_whose_name_it_inherited() -> None:
    sleeper = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(sleeper, env={leftovers.RUN_VARIABLE: "run-1"}, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert leftovers.may_be_of("run-1", child.pid, "dnsmasq")
            assert not leftovers.may_be_of("run-2", child.pid, "dnsmasq")
            assert leftovers.may_be_of("run-2", child.pid, "/usr/bin/qemu-system-x86_64 -name guest")
        finally:
            child.kill()
