"""Finding a route by its path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.http import bodies
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Api, Route, Router


async def nothing(call: Call) -> Reply:
    """Not called here."""
    return Reply()


def api(name: str, prefix: str, *paths: str) -> Api:
    routes = [
        Route(method=method, path=path, handler=nothing, policy=PUBLIC, body=NO_BODY)
        for method, path in (text.split(" ") for text in paths)
    ]
    return Api(name=name, prefix=prefix, routes=routes, error_body=bodies.compute)


def test_a_slash_behind_a_list_is_an_id_left_out_where_the_api_says_so() -> None:
    routes = [
        Route(method="GET", path="/v2", handler=nothing, policy=PUBLIC, body=NO_BODY),
        Route(method="GET", path="/v2/{project}/limits", handler=nothing, policy="x", body=NO_BODY),
        Route(method="GET", path="/v2/images", handler=nothing, policy="x", body=NO_BODY),
        Route(method="GET", path="/v2/images/{id}", handler=nothing, policy="x", body=NO_BODY),
        Route(method="POST", path="/v2/images/{id}/actions", handler=nothing, policy="x", body=NO_BODY),
        Route(method="GET", path="/v2/schemas", handler=nothing, policy="x", body=NO_BODY),
    ]
    image = Api(name="image", prefix="/image", routes=routes, error_body=bodies.image, lists_end_plainly=True)
    router = Router([image])
    for path, known in (
        ("/v2/images//actions", False),
        ("/v2/images//", False),
        ("/v2/images", True),
        ("/v2/images/", False),
        ("/v2/", True),
        ("/v2/schemas/", True),
    ):
        assert bool(router.find(f"/image{path}").methods) == known, path


ROUTER = Router(
    [
        api(
            "compute",
            "/compute/v2.1",
            "GET /servers",
            "POST /servers",
            "GET /servers/detail",
            "GET /servers/{id}",
            "DELETE /servers/{id}",
            "GET /servers/{id}/metadata/{key}",
            "GET /{project}/limits",
        ),
        api("versions", "/compute", "GET "),
        api("objects", "/object-store", "GET /v1/{account}/{container}/{name:path}", "GET /v1/{account}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "api_name", "values", "methods"),
    [
        ("/compute/v2.1/servers", "compute", (), {"GET", "HEAD", "POST"}),
        ("/compute/v2.1/servers/", "compute", (), {"GET", "HEAD", "POST"}),
        ("//compute//v2.1//servers", "compute", (), {"GET", "HEAD", "POST"}),
        ("/compute/v2.1/servers/detail", "compute", (), {"GET", "HEAD"}),
        ("/compute/v2.1/servers/abc", "compute", ("abc",), {"GET", "HEAD", "DELETE"}),
        ("/compute/v2.1/servers/abc/metadata/k", "compute", ("abc", "k"), {"GET", "HEAD"}),
        ("/compute/v2.1/servers/detail/metadata/k", "compute", ("detail", "k"), {"GET", "HEAD"}),
        ("/compute/v2.1/p1/limits", "compute", ("p1",), {"GET", "HEAD"}),
        ("/compute/v2.1/servers/limits", "compute", ("limits",), {"GET", "HEAD", "DELETE"}),
        ("/compute/v2.1/servers/abc/nothing", "compute", (), set()),
        ("/compute", "versions", (), {"GET", "HEAD"}),
        ("/compute/v9", "versions", (), set()),
        ("/object-store/v1/a/c/some/long/name", "objects", ("a", "c", "some/long/name"), {"GET", "HEAD"}),
        ("/object-store/v1/a", "objects", ("a",), {"GET", "HEAD"}),
        ("/object-store/v1/a/c", "objects", (), set()),
        ("/", None, (), set()),
        ("/elsewhere", None, (), set()),
    ],
)
def test_a_path_leads_to_its_route(path: str, api_name: str | None, values: tuple[str, ...], methods: set[str]) -> None:
    match = ROUTER.find(path)
    assert (match.api.name if match.api else None) == api_name
    assert match.methods.keys() == methods
    if methods:
        assert match.values == values


def test_a_literal_wins_over_a_variable_and_leaves_it_what_the_literal_does_not_have() -> None:
    detail = ROUTER.find("/compute/v2.1/servers/detail").methods
    assert "DELETE" not in detail
    [(route, names)] = detail["GET"]
    assert (route.path, names) == ("/servers/detail", ())


@given(st.text(max_size=200))
def test_any_path_is_answered(path: str) -> None:
    match = ROUTER.find(path)
    assert all(len(names) == len(match.values) for found in match.methods.values() for _, names in found)


def test_a_very_long_path_costs_no_more_than_its_length() -> None:
    """Security class 16."""
    assert ROUTER.find("/compute/v2.1" + "/servers" * 50_000).methods == {}
