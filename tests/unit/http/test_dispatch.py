"""The way of every request, with handlers that touch no database."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest
import structlog

from skybus.errors import BadRequest, Conflict, NotFound, QuotaExceeded, Unavailable
from skybus.http import bodies
from skybus.http.call import Call, Reply
from skybus.http.caller import Caller
from skybus.http.routes import NO_BODY, PUBLIC, RAW, Api, Route, RouteError
from skybus.http.versions import VersionRange
from support.front import Client, front, made_up

SCHEMA = "compute/keypair-create"
RULES = {"thing:list": "role:reader", "thing:write": "role:member", "thing:crash": "@", "download_image": "@"}
LIMIT = 114_688
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ERRORS = {"bad": BadRequest("no"), "quota": QuotaExceeded("enough"), "gone": NotFound("no such thing"),
          "busy": Conflict("busy"), "down": Unavailable("later")}  # fmt: skip


async def who(call: Call) -> Reply:
    """The caller as the handler sees it."""
    who = None if call.anonymous else call.caller
    fields = {} if who is None else {"user": who.user_id, "project": who.project_id, "roles": sorted(who.roles)}
    return Reply({"caller": fields, "version": list(call.version), "args": call.args})


async def take(call: Call) -> Reply:
    """The body as the handler sees it."""
    return Reply({"got": call.body}, status=202)


async def count(call: Call) -> Reply:
    """How long a raw body is."""
    return Reply({"bytes": len(await call.read(1000))})


async def crash(call: Call) -> Reply:
    """A bug."""
    raise RuntimeError("the password is hunter2")


async def refuse(call: Call) -> Reply:
    """One of our own errors."""
    raise ERRORS[call.args["error"]]


ROUTES = [
    Route(method="GET", path="/things", handler=who, policy="thing:list", body=NO_BODY),
    Route(method="POST", path="/things", handler=take, policy="thing:write", body=SCHEMA),
    Route(method="PUT", path="/things/{id}/file", handler=count, policy="thing:write", body=RAW),
    Route(method="GET", path="/crash", handler=crash, policy="thing:crash", body=NO_BODY),
    Route(method="GET", path="/refuse/{error}", handler=refuse, policy="thing:crash", body=NO_BODY),
    Route(method="GET", path="/open", handler=who, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/newer", handler=who, policy="thing:list", body=NO_BODY, since=(2, 50), until=(2, 60)),
    Route(method="GET", path="/file", handler=who, policy="download_image", body=NO_BODY),
]
COMPUTE_VERSIONS = VersionRange(
    service="compute", lowest=(2, 1), highest=(2, 96), legacy_header="X-OpenStack-Nova-API-Version"
)
APIS = [
    Api(
        name="compute",
        prefix="/compute",
        routes=ROUTES,
        error_body=bodies.compute,
        versions=COMPUTE_VERSIONS,
        request_id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"),
    ),
    Api(name="identity", prefix="/identity", routes=ROUTES[:1], error_body=bodies.identity),
    Api(name="network", prefix="/network", routes=ROUTES[:1], error_body=bodies.network),
    Api(name="image", prefix="/image", routes=ROUTES[:1], error_body=bodies.image),
    Api(name="placement", prefix="/placement", routes=ROUTES[:1], error_body=bodies.placement),
]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with front(APIS, RULES, {"store": None}) as made:
        yield made


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b'{"keypair": {"name": "k"}}', "application/json", 202),
        (b'{"keypair": {"name": "k"}}', "application/json; charset=utf-8", 202),
        (b'{"keypair": {"name": "k"}}', "application/vnd.openstack+json", 202),
        (b'{"keypair": ', "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        pytest.param(
            b'{"keypair": {"name": "\xff"}}',
            "application/json",
            400,
        ),
        (b'{"keypair": {"name": "\\ud800"}}', "application/json", 400),
        (b'{"keypair": {"name": "k"}} trailing', "application/json", 400),
        (b'{"keypair": {"name": NaN}}', "application/json", 400),
        (b"5", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"keypair": {"name": 5}}', "application/json", 400),
        (b'{"keypair": {"name": "k", "surprise": 1}}', "application/json", 400),
        (b'{"keypair": {"name": "' + b"k" * 10_000 + b'"}}', "application/json", 400),
        (b"<keypair/>", "application/xml", 415),
        (b"name=k", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_is_what_the_route_says_or_is_refused(
    client: Client, data: bytes, content_type: str, status: int
) -> None:
    answer = await client.call("POST", "/compute/things", data=data, headers={"Content-Type": content_type})
    assert answer.status == status, answer
    if status >= 400:
        assert next(iter(answer.body.values()))["code"] == status


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 20_000, b"[" * 50_000 + b"]" * 50_000])
async def test_deep_nesting_is_refused_and_harms_nobody(client: Client, text: bytes) -> None:
    """Security class 16."""
    answer = await client.call("POST", "/compute/things", data=text, headers={"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert (await client.call("GET", "/compute/things")).status == 200


async def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(client: Client) -> None:
    """Security class 16."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 1000 + 2):
            yield b" " * 1000

    json_type = {"Content-Type": "application/json"}
    told = await client.call("POST", "/compute/things", data=b" " * (LIMIT + 1), headers=json_type)
    assert told.status == 413
    assert told.body == {"overLimit": {"code": 413, "message": told.body["overLimit"]["message"]}}
    async with client.http.post(
        f"{client.url}/compute/things", data=chunks(), headers={**json_type, "X-Auth-Token": "a:p:member"}
    ) as untold:
        assert untold.status == 413


async def test_a_handler_that_reads_bytes_has_a_limit_of_its_own(client: Client) -> None:
    """Security class 16."""
    assert (await client.call("PUT", "/compute/things/1/file", data=b"x" * 1000)).body == {"bytes": 1000}
    assert (await client.call("PUT", "/compute/things/1/file", data=b"x" * 1001)).status == 413


async def test_an_unknown_path_is_not_found_in_the_form_of_its_api(client: Client) -> None:
    message = "The resource could not be found."
    answers = {api.name: await client.call("GET", f"{api.prefix}/nowhere") for api in APIS}
    assert {answer.status for answer in answers.values()} == {404}
    assert answers["compute"].body == {"itemNotFound": {"code": 404, "message": message}}
    assert answers["identity"].body == {"error": {"code": 404, "title": "Not Found", "message": message}}
    assert answers["network"].body == {"NeutronError": {"type": "NotFound", "message": message, "detail": ""}}
    assert answers["image"].headers["Content-Type"].startswith("text/html")
    assert message in answers["image"].data.decode()
    assert answers["placement"].body["errors"][0]["status"] == 404
    outside = await client.call("GET", "/nowhere")
    assert outside.status == 404
    assert outside.body["errors"][0]["request_id"] == outside.headers["X-Openstack-Request-Id"]


async def test_a_path_is_never_echoed_into_html(client: Client) -> None:
    """Security class 19."""
    answer = await client.call("GET", "/image/%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script>" not in answer.data


async def test_another_method_is_refused_with_those_that_are_allowed(client: Client) -> None:
    answer = await client.call("DELETE", "/compute/things")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert answer.body["badMethod"]["code"] == 405


async def test_head_is_get_without_its_body(client: Client) -> None:
    got, head = await client.call("GET", "/compute/things"), await client.call("HEAD", "/compute/things")
    assert (head.status, head.data) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.data))


# --- microversions


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, [2, 1]),
        ({"OpenStack-API-Version": "compute 2.53"}, [2, 53]),
        ({"OpenStack-API-Version": "volume 3.10, compute 2.9"}, [2, 9]),
        ({"OpenStack-API-Version": "volume 3.10"}, [2, 1]),
        ({"OpenStack-API-Version": "compute latest"}, [2, 96]),
        ({"X-OpenStack-Nova-API-Version": "2.12"}, [2, 12]),
        ({"X-OpenStack-Nova-API-Version": "2.12", "OpenStack-API-Version": "compute 2.13"}, [2, 13]),
    ],
)
async def test_a_request_is_answered_in_the_version_that_it_speaks(
    client: Client, headers: dict[str, str], version: list[int]
) -> None:
    answer = await client.call("GET", "/compute/things", headers=headers)
    assert answer.body["version"] == version
    text = f"{version[0]}.{version[1]}"
    assert answer.headers["OpenStack-API-Version"] == f"compute {text}"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == text
    assert answer.headers["Vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("2.97", 406),
        ("1.9", 406),
        ("3.0", 406),
        ("2", 400),
        ("2.x", 400),
        ("", 400),
        ("two", 400),
        ("2.1.1", 400),
        ("2." + "9" * 5000, 400),
    ],
)
async def test_a_version_that_is_not_spoken_is_refused(client: Client, asked: str, status: int) -> None:
    answer = await client.call("GET", "/compute/things", headers={"OpenStack-API-Version": f"compute {asked}"})
    assert answer.status == status, answer
    if status == 406:
        assert "Minimum is 2.1 and maximum is 2.96" in answer.body["computeFault"]["message"]


async def test_a_route_exists_in_its_versions_alone(client: Client) -> None:
    async def status(version: str) -> int:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        return (await client.call("GET", "/compute/newer", headers=headers)).status

    assert [await status(version) for version in ("2.49", "2.50", "2.60", "2.61")] == [404, 200, 200, 404]


# --- who is calling


@pytest.mark.parametrize("token", [None, "nonsense", "a:b", ""])
async def test_without_a_good_token_nothing_is_served_but_what_is_public(client: Client, token: str | None) -> None:
    answer = await client.call("GET", "/compute/things", token=token)
    assert answer.status == 401
    assert "Keystone uri=" in answer.headers["WWW-Authenticate"]
    assert (await client.call("GET", "/compute/open", token=token)).body["caller"] == {}


async def test_whom_the_policy_forbids_learns_nothing_more(client: Client) -> None:
    answer = await client.call("GET", "/compute/things", token="bob:p2:nobody")
    assert answer.status == 403
    assert answer.body == {"forbidden": {"code": 403, "message": "Policy doesn't allow thing:list to be performed."}}


async def test_the_policy_is_asked_before_the_body_is_read(client: Client) -> None:
    """Security class 16: who may not, cannot make us work."""
    answer = await client.call("POST", "/compute/things", data=b"[" * 9999, token="bob:p2:reader")
    assert answer.status == 403


FORGED = {
    "X-User-Id": "root",
    "X-User-Name": "root",
    "X-User-Domain-Id": "root",
    "X-Project-Id": "victim",
    "X-Tenant-Id": "victim",
    "X-Roles": "admin",
    "X-Role": "admin",
    "X-Is-Admin-Project": "True",
    "X-Identity-Status": "Confirmed",
    "X-Service-Token": "a:service:service",
    "X-Service-Roles": "service",
    "X-Domain-Id": "default",
    "X-System-Scope": "all",
    "OpenStack-System-Scope": "all",
}


async def test_identity_headers_have_no_effect(client: Client) -> None:
    """Security class 9."""
    assert (await client.call("GET", "/compute/things", token=None, headers=FORGED)).status == 401
    answer = await client.call("GET", "/compute/things", headers=FORGED)
    assert answer.body["caller"] == {"user": "alice", "project": "p1", "roles": ["member", "reader"]}
    assert (await client.call("GET", "/compute/things", token="bob:p2:nobody", headers=FORGED)).status == 403


async def test_a_token_that_reads_one_image_reads_nothing_else() -> None:
    """Security class 8: a host's token opens what it was made for."""

    async def a_host(token: str) -> Caller:
        return Caller(user_id="h", project_id="p1", roles=frozenset({"reader", "member"}), image_id="i1")

    async with front(APIS, RULES, {"store": None}, authenticate=a_host) as client:
        assert (await client.call("GET", "/compute/file")).status == 200
        assert (await client.call("GET", "/compute/things")).status == 403


# --- request ids and errors


async def test_every_answer_carries_a_request_id_of_its_own(client: Client) -> None:
    told = {"X-Openstack-Request-Id": "req-00000000-0000-0000-0000-000000000001"}
    answers = [
        await client.call("GET", "/compute/things", headers=told),
        await client.call("GET", "/compute/things", token=None),
        await client.call("GET", "/compute/nowhere"),
        await client.call("GET", "/compute/crash"),
    ]
    ids = [answer.headers["X-Openstack-Request-Id"] for answer in answers]
    assert all(REQUEST_ID.fullmatch(id_) for id_ in ids)
    assert len({*ids, *told.values()}) == len(answers) + 1
    assert [answer.headers["X-Compute-Request-Id"] for answer in answers] == ids


async def test_a_crash_is_told_to_the_log_and_not_to_the_caller(client: Client) -> None:
    """Security class 18."""
    with structlog.testing.capture_logs() as logs:
        answer = await client.call("GET", "/compute/crash")
    assert answer.status == 500
    assert b"hunter2" not in answer.data
    assert b"RuntimeError" not in answer.data
    assert "computeFault" in answer.body
    crashed = next(entry for entry in logs if entry["event"] == "request_crashed")
    assert crashed["request_id"] == answer.headers["X-Openstack-Request-Id"]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        ("bad", 400, "badRequest"),
        ("quota", 403, "forbidden"),
        ("gone", 404, "itemNotFound"),
        ("busy", 409, "conflictingRequest"),
        ("down", 503, "serviceUnavailable"),
    ],
)
async def test_our_own_errors_keep_their_sentence(client: Client, error: str, status: int, name: str) -> None:
    answer = await client.call("GET", f"/compute/refuse/{error}")
    assert answer.status == status
    assert answer.body == {name: {"code": status, "message": str(ERRORS[error])}}
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)


async def test_the_log_of_a_request_holds_no_token(client: Client) -> None:
    """Security class 18."""
    with structlog.testing.capture_logs() as logs:
        await client.call("GET", "/compute/things?limit=1", token="carol:p7:reader,s3cr3t-canary")
    assert "s3cr3t-canary" not in json.dumps(logs, default=str)
    assert next(entry for entry in logs if entry["event"] == "request")["project_id"] == "p7"


# --- what is refused at start


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (Route(method="GET", path="/x", handler=who, policy="nobody:knows", body=NO_BODY), "which nobody defines"),
        (Route(method="POST", path="/x", handler=who, policy="thing:list", body="no/such"), "does not exist"),
        (Route(method="GET", path="/x", handler=who, policy="thing:list", body=SCHEMA), "takes a body"),
    ],
)
async def test_a_route_that_does_not_say_what_it_must_is_refused_at_start(route: Route, says: str) -> None:
    """Security class 14: deny by default."""
    broken = Api(name="x", prefix="/x", routes=[route], error_body=bodies.compute)
    with pytest.raises(RouteError, match=says):
        async with front([broken], RULES, {"store": None}, authenticate=made_up):
            raise AssertionError("it started")
