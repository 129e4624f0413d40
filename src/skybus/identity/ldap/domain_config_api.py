"""Domains' own settings: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.identity.ldap import domain_config as config
from skybus.identity.ldap.ldap_settings import SECTIONS
from skybus.identity.projects.projects import DEFAULT_DOMAIN, project_find
from skybus.identity.rows import body_of, change, missing, path_id

COMPLIANCE = "security_compliance"
READABLE = ("password_regex", "password_regex_description")


async def show_config(call: Call) -> Reply:
    """`GET /domains/{domain_id}/config`, `.../{group}` and `.../{group}/{option}`."""
    section, name = call.args.get("group"), call.args.get("option")
    if section == COMPLIANCE:
        return _compliance(call, name)
    call.require("identity:get_domain_config")
    domain_id = await _domain_id(call)
    _check(section, name)
    found = await config.config_get(call.store, domain_id)
    shown: Any = found
    if section is not None:
        shown = {section: found[section]} if section in found else {}
    if name is not None:
        shown = {name: found[section or ""][name]} if name in found.get(section or "", {}) else {}
    if not shown:
        raise config.missing_option(domain_id, section, name)
    return Reply({"config": shown})


def _compliance(call: Call, name: str | None) -> Reply:
    """What passwords must be like: anybody with a token may know, and it is the same for all."""
    call.require("identity:get_security_compliance_domain_config")
    if call.args["domain_id"] != DEFAULT_DOMAIN or name not in (None, *READABLE):
        raise Forbidden("Reading this security compliance information is not allowed or supported.")
    compliance = call.service("identity").compliance
    found = {one: getattr(compliance, one) for one in READABLE}
    return Reply({"config": {name: found[name]} if name is not None else {COMPLIANCE: found}})


async def create_config(call: Call) -> Reply:
    """`PUT /domains/{domain_id}/config`: these options, and no others."""
    domain_id = await _domain_id(call)
    asked = body_of(call, "config")
    keys = call.service("identity").login.credential_keys
    config.check_options(asked)
    async with change(call) as tx:
        existed = await config.config_is_set(tx, domain_id)
        await config.config_delete(tx, domain_id, None, None, keys)
        shown = await config.config_put(tx, domain_id, asked, keys)
    return Reply({"config": shown}, 200 if existed else 201)


async def update_config(call: Call) -> Reply:
    """`PATCH /domains/{domain_id}/config`, `.../{group}` and `.../{group}/{option}`."""
    domain_id = await _domain_id(call)
    section, name = call.args.get("group"), call.args.get("option")
    _check(section, name)
    asked = body_of(call, "config")
    if section is not None and name is not None:
        asked = {section: asked}
    config.check_options(asked)
    if section is not None and (list(asked) != [section] or (name is not None and list(asked[section]) != [name])):
        raise Forbidden("Invalid domain specific configuration: what is changed must be what the path names.")
    keys = call.service("identity").login.credential_keys
    async with change(call) as tx:
        if not await config.config_is_set(tx, domain_id, section, name):
            raise config.missing_option(domain_id, section, name)
        shown = await config.config_put(tx, domain_id, asked, keys)
    return Reply({"config": shown})


async def delete_config(call: Call) -> Reply:
    """`DELETE /domains/{domain_id}/config`, `.../{group}` and `.../{group}/{option}`."""
    domain_id = await _domain_id(call)
    section, name = call.args.get("group"), call.args.get("option")
    _check(section, name)
    keys = call.service("identity").login.credential_keys
    async with change(call) as tx:
        await config.config_delete(tx, domain_id, section, name, keys)
    return Reply(None, 204)


async def show_default(call: Call) -> Reply:
    """`GET /domains/config/default`, `/domains/config/{group}/default` and `.../{group}/{option}/default`."""
    section, name = call.args.get("group"), call.args.get("option")
    _check(section, name)
    if section is None:
        return Reply({"config": {one: dict(options) for one, options in SECTIONS.items()}})
    if name is None:
        return Reply({"config": {section: dict(SECTIONS[section])}})
    if name not in SECTIONS[section]:
        raise Forbidden(f"Reading the default for option {name} in group {section} is not supported.")
    return Reply({"config": {name: SECTIONS[section][name]}})


def _check(section: str | None, name: str | None) -> None:
    if section is not None:
        config.check_option(section, name)


async def _domain_id(call: Call) -> str:
    """The id of the domain in the path. Raises NotFound."""
    domain_id = path_id(call, "domain_id", "domain")
    row = await project_find(call.store, domain_id)
    if row is None or not row["is_domain"]:
        raise missing("domain", domain_id)
    return domain_id


def _routes() -> list[Route]:
    routes = []
    for end in ("", "/{group}", "/{group}/{option}"):
        path = "/v3/domains/{domain_id}/config" + end
        routes += [
            _route("GET", path, show_config, "any_caller"),
            _route("PATCH", path, update_config, "update_domain_config", "identity/domain-config"),
            _route("DELETE", path, delete_config, "delete_domain_config"),
            _route("GET", f"/v3/domains/config{end}/default", show_default, "get_domain_config_default"),
        ]
    put = "/v3/domains/{domain_id}/config"
    return [*routes, _route("PUT", put, create_config, "create_domain_config", "identity/domain-config")]


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=path, handler=handler, policy=f"identity:{rule}", body=body)


ROUTES = _routes()
