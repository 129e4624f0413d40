"""`ops/up`: bring a cloud up, or repair it, in the shortest order that its parts allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import clouds, config, first_server, guest_image, health, machine, packages, ports, postgres, processes, venv
from .hosts import Host
from .plan import Plan
from .postgres import Postgres
from .progress import Progress
from .rabbitmq import RabbitMQ
from .shape import Service, Shape
from .shell import run
from .state import State
from .trouble import Trouble

PYTHON, BUILD, DEBIAN = "Debian packages: Python", "Debian packages: compiler", "Debian packages: the rest"
ENVIRONMENT = "virtual environment"
BINDINGS, STORE, BUS, HOST, IMAGE = "libvirt bindings", "Postgres", "RabbitMQ", "host-1", "guest image"
SCHEMA, ADMIN, QUEUES, CLIENT = "database schema", "admin, roles, catalog, flavors", "queues", "openstack client"
FIRST, SERVER, PROMPT = "image, network, key pair", "first server ACTIVE", "login prompt on its console"
CLOUD_GROUPS = ("python", "build", "control", "host", "guest image")
FEW_HOSTS = 50
"""Their queues are made faster than our processes load."""
SECONDS_PER_HOST = 0.5
"""What each host may add to a deadline: three queues, three agents' first reports."""
LESS_ENVIRONMENT = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Wishes:
    """What the command line asked for."""

    shape: Shape
    port: int | None = None
    """A port for the API; any free one otherwise."""
    first_server: bool = True
    client: bool = True
    """Whether to install the `openstack` command."""
    restart: bool = False
    """Whether processes of ours that run are restarted, to take up new code."""


class BringUp:
    """One run of `ops/up`."""

    def __init__(self, state: State, wishes: Wishes, progress: Progress) -> None:
        self.state = state
        self.wishes = wishes
        self.shape = wishes.shape
        self.progress = progress
        self.ports: dict[str, int] = {}
        self.files: dict[str, Path] = {}
        self.image_id = self.network_id = self.server_id = ""
        self.patience = 120 + SECONDS_PER_HOST * self.shape.hosts

    def prepare(self) -> None:
        """All that is quick: look at the machine, choose ports, write the files. Raises Trouble."""
        note = machine.check(self.state, real=self.shape.real)
        if note:
            self.progress.say(f"  machine: {note}")
        self.state.make()
        self.remember_shape()
        wanted = {"gateway": self.wishes.port} if self.wishes.port else None
        self.ports = ports.choose(self.state, self.shape.port_names(), wanted)
        self.files = config.write_all(self.state, self.shape, self.ports, self.postgres(Path()), self.rabbitmq())
        clouds.write(self.state, self.ports["gateway"])

    def remember_shape(self) -> None:
        """A state folder holds one cloud of one form."""
        form = {"real": self.shape.real, "processes": self.shape.processes}
        known = self.state.facts().get("form", form)
        if known != form:
            is_form = "real" if known["real"] else "simulated"
            raise Trouble(
                f"{self.state.root} holds a {is_form} cloud of another form",
                "`./ops/down --purge` first, or name another folder in SKYBUS_STATE",
            )
        self.state.remember(form=form, hosts=self.shape.hosts, gateways=self.shape.gateways)

    def plan(self) -> Plan:
        """Every task with what it has to wait for."""
        plan = Plan(self.progress)
        ground = self.plan_ground(plan)
        plan.add(SCHEMA, lambda: self.skybus("migrate"), [STORE, ENVIRONMENT])
        plan.add(ADMIN, self.bootstrap, [SCHEMA])
        if self.shape.processes:
            plan.add(BUS, lambda: self.need_rabbitmq().up(), ground)
            plan.add(QUEUES, self.topology, [BUS, ENVIRONMENT, SCHEMA])
        for service in self.shape.services():
            # Not [BUS]: our processes load while RabbitMQ does, and wait for their queues by themselves.
            needs = [ENVIRONMENT, *ground] if service.is_agent else [ADMIN]
            needs += [HOST, BINDINGS] if service.is_agent and self.shape.real else []
            # Agents that look for a thousand queues again and again keep the broker from making them.
            needs += [QUEUES] if service.is_agent and self.shape.hosts > FEW_HOSTS else []
            plan.add(service.name, lambda service=service: self.start(service, plan), needs)
        self.plan_finish(plan)
        return plan

    def plan_ground(self, plan: Plan) -> list[str]:
        """Packages, the environment, the store, the host, the image. Returns what other daemons have to wait for."""
        if not self.shape.real:
            plan.add(ENVIRONMENT, lambda: venv.sync("run", *self.wheel_of_postgres()))
            plan.add(STORE, self.start_postgres, [ENVIRONMENT])
            return []
        plan.add(PYTHON, lambda: packages.install(["python"]))
        plan.add(ENVIRONMENT, lambda: venv.sync("run"), [PYTHON])
        plan.add(BUILD, lambda: packages.install(["build"]), [PYTHON])
        plan.add(DEBIAN, lambda: packages.install(CLOUD_GROUPS), [BUILD])
        # The bindings are compiled, which takes as long as the other packages: at the same time.
        plan.add(BINDINGS, lambda: venv.sync("host"), [ENVIRONMENT, BUILD])
        plan.add(STORE, self.start_postgres, [DEBIAN])
        plan.add(HOST, lambda: Host(self.state).up(), [DEBIAN])
        plan.add(IMAGE, self.build_image, [DEBIAN])
        return [DEBIAN]

    def plan_finish(self, plan: Plan) -> None:
        """The client, and the first server."""
        services = [service.name for service in self.shape.services()]
        gateways = [name for name in services if name == "all" or name.startswith("gateway")]
        if self.wishes.client:
            plan.add(CLIENT, self.install_client, services)
        if self.wishes.first_server:
            images = [IMAGE] if self.shape.real else []
            plan.add(FIRST, self.first_things, [*gateways, *images])
            plan.add(SERVER, self.first_server, [FIRST, *services])
            if self.shape.real:
                plan.add(PROMPT, self.login_prompt, [SERVER])

    def postgres(self, programs: Path) -> Postgres:
        """The store."""
        return Postgres(self.state, programs, self.ports["postgres"])

    def rabbitmq(self) -> RabbitMQ | None:
        """The bus, in a cloud of processes."""
        if not self.shape.processes:
            return None
        return RabbitMQ(self.state, self.ports, self.shape.accounts(), self.shape.hosts)

    def need_rabbitmq(self) -> RabbitMQ:
        """The bus of a cloud that has one."""
        found = self.rabbitmq()
        assert found is not None
        return found

    def wheel_of_postgres(self) -> list[str]:
        """The lock file with Postgres in it, where the machine has none."""
        return [] if postgres.installed_programs() else ["simulated"]

    def start_postgres(self) -> str:
        """The store, with the machine's own programs or with those of the wheel."""
        programs = postgres.installed_programs() or postgres.wheel_programs(venv.folder())
        if programs is None:
            raise Trouble("there is no Postgres", "apt-get install postgresql-15")
        return self.postgres(programs).up()

    def build_image(self) -> str:
        """The guest image, in the cache."""
        return guest_image.image().name

    def skybus(self, *words: str | Path) -> str:
        """Run a command of ours to its end."""
        run(
            [venv.program("skybus"), *words], f"skybus {words[0]}", timeout=self.patience,
            env=LESS_ENVIRONMENT | {"SKYBUS_CONFIG": str(self.files["skybus"])}, cwd=self.state.root,
        )  # fmt: skip
        return ""

    def bootstrap(self) -> str:
        """The admin and all that a new cloud has."""
        return self.skybus("bootstrap", "--password-file", clouds.password_file(self.state))

    def topology(self) -> str:
        """Exchanges and queues. The control plane's account declares them: agents may not."""
        return self.skybus("topology", *[word for name in self.shape.host_names() for word in ("--host", name)])

    def start(self, service: Service, plan: Plan) -> str:
        """Have one of our processes running and ready. Stops waiting for it when another task of `plan` fails."""
        path = self.files[service.name]
        known = processes.find(self.state, service.name)
        if known and known.alive() and self.wishes.restart:
            processes.stop(self.state, known)
        before = known.pid if known and known.alive() else 0
        url = f"http://127.0.0.1:{self.ports[service.name]}/healthz"
        argv = [venv.program("python"), "-X", "faulthandler", venv.program("skybus"), *service.words]
        record = processes.start(
            self.state, service.name, argv,
            env=LESS_ENVIRONMENT | {"SKYBUS_CONFIG": str(path)}, depends=path.read_text(), health=url,
            log_name=f"{service.name}.jsonl",
        )  # fmt: skip

        def ready() -> bool:
            plan.go_on()
            return health.answers(url)

        health.wait(self.state, record, ready, self.patience)
        return "was running" if record.pid == before else ""

    def install_client(self) -> str:
        """The `openstack` command beside our own."""
        done = venv.sync("client")
        clouds.link_programs(self.state)
        return done

    def first_things(self) -> str:
        """What a server needs."""
        if self.had_first_server():
            return "made before"
        api = first_server.Api(self.state, self.ports["gateway"])
        if self.shape.real:
            self.image_id = first_server.image_ensure(api, guest_image.image(), "qcow2")
        else:
            self.image_id = first_server.image_ensure(api, first_server.pretend_image(self.state), "raw")
        self.network_id = first_server.network_ensure(api)
        first_server.keypair_ensure(api, self.state)
        return ""

    def first_server(self) -> str:
        """The server itself. Once there was one, it is its users': stopped or deleted, it stays so."""
        api = first_server.Api(self.state, self.ports["gateway"])
        if self.had_first_server():
            found = first_server.server_find(api)
            return f"made before, {found['status']}" if found else "made before, deleted since"
        self.server_id = first_server.server_ensure(api, self.image_id, self.network_id)
        address = first_server.server_wait(api, self.server_id)
        if not self.shape.real:
            self.state.remember(first_server=True)
        return address

    def had_first_server(self) -> bool:
        """Whether this cloud had its first server already."""
        return bool(self.state.facts().get("first_server"))

    def login_prompt(self) -> str:
        """The proof that a guest really runs."""
        if self.had_first_server():
            return "shown before"
        first_server.prompt_wait(first_server.Api(self.state, self.ports["gateway"]), self.server_id)
        self.state.remember(first_server=True)
        return ""


def up(state: State, wishes: Wishes) -> None:
    """Bring the cloud of `state` up and print what a newcomer needs. Raises Trouble."""
    kind = "a simulated cloud" if not wishes.shape.real else "a cloud"
    with state.locked(), Progress(f"Bringing up {kind} in {state.root}") as progress:
        work = BringUp(state, wishes, progress)
        work.prepare()
        work.plan().run()
    print()
    print(progress.table())
    print(farewell(state, work))


def farewell(state: State, work: BringUp) -> str:
    """Where everything is, and what to try next."""
    return f"""
The API listens on http://127.0.0.1:{work.ports["gateway"]}
clouds.yaml: {state.root / "clouds.yaml"} (cloud `skybus`; openrc beside it)

Try next:
  . {state.root / "openrc"}
  openstack server list
  openstack console log show first

Then `./ops/status`, and `./ops/down` to stop it (`--purge` to remove it)."""
