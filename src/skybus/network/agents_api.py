"""Routes of agents: the network agents that have reported, as the agent extension shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from skybus.errors import Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.network import agents
from skybus.network.attributes import require
from skybus.network.lists import Collection, Filter, chosen, listed, truth

AGENT_TYPE = "Linux bridge agent"
BINARY = "skybus-network"


def _alive(where: Where, values: list[str]) -> None:
    wanted = {truth("alive", value) for value in values}
    if len(wanted) == 1:
        sign = "<" if wanted == {True} else ">="
        where.conditions.append(f"now() - a.heard_at {sign} interval '{agents.ALIVE_SECONDS} seconds'")


def _is(value: str) -> Callable[[Where, list[str]], None]:
    """A filter on what is the same for every agent."""
    return lambda where, values: where.conditions.append("true" if value in values else "false")


LIST = Collection(
    name="agents",
    path="/agents",
    select=agents.SELECT,
    unique="a.id",
    marker_select=agents.FROM,
    not_found=lambda agent_id: NotFound(f"Agent {agent_id} could not be found.", type="AgentNotFound"),
    filters={
        "id": Filter("a.id", "uuid"),
        "host": Filter("a.host"),
        "admin_state_up": Filter("a.admin_state_up", "bool"),
        "description": Filter("a.description"),
    },
    special={"alive": _alive, "agent_type": _is(AGENT_TYPE), "binary": _is(BINARY), "availability_zone": _is("nova")},
    sorts={"id": "a.id", "host": "a.host", "created_at": "a.created_at", "heartbeat_timestamp": "a.heard_at"},
)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def view(row: Any) -> dict[str, Any]:
    """An agent's row."""
    return {
        "id": row["id"],
        "binary": BINARY,
        "agent_type": AGENT_TYPE,
        "host": row["host"],
        "topic": f"network.{row['host']}",
        "description": row["description"],
        "availability_zone": "nova",
        "admin_state_up": row["admin_state_up"],
        "alive": agents.alive(row["heard_at"]),
        "created_at": _time(row["created_at"]),
        "started_at": _time(row["started_at"]),
        "heartbeat_timestamp": _time(row["heard_at"]),
        "resources_synced": None,
        "configurations": {
            "devices": row["port_count"],
            "networks": row["network_count"],
            "tunnel_types": ["vxlan"],
            "tunneling_ip": row["address"],
        },
    }


async def list_agents(call: Call) -> Reply:
    """Every agent, to whom the policy lets see agents; none to others."""
    where = Where()
    if not call.permits("get_agent"):
        where.conditions.append("false")
    return await listed(call, LIST, where, view)


async def _visible(call: Call, store: Any) -> Any:
    agent_id = call.args["agent_id"]
    row = await agents.agent_get(store, agent_id)
    if not call.permits("get_agent"):
        raise NotFound(f"Agent {agent_id} could not be found.", type="AgentNotFound")
    return row


async def show_agent(call: Call) -> Reply:
    """One agent."""
    return Reply({"agent": chosen(call, view(await _visible(call, call.store)))})


async def update_agent(call: Call) -> Reply:
    """Describe an agent, or mark it as administratively down."""
    asked = call.body["agent"]
    async with call.transaction() as tx:
        row = await _visible(call, tx)
        require(call, "update_agent", {})
        description = asked.get("description", row["description"])
        await agents.agent_update(tx, row["id"], description, asked.get("admin_state_up", row["admin_state_up"]))
        row = await agents.agent_get(tx, row["id"])
    return Reply({"agent": view(row)})


async def delete_agent(call: Call) -> Reply:
    """Forget an agent that is silent."""
    async with call.transaction() as tx:
        row = await _visible(call, tx)
        require(call, "delete_agent", {})
        if agents.alive(row["heard_at"]):
            raise Conflict(f"Agent {row['id']} is alive and would come back.", type="AgentInUse")
        await agents.agent_delete(tx, row["id"])
    return Reply(None, 204)


_ONE = "/agents/{agent_id}"
ROUTES = [
    Route(method="GET", path="/agents", handler=list_agents, policy="get_agent:list", body=NO_BODY),
    Route(method="GET", path=_ONE, handler=show_agent, policy="get_agent:list", body=NO_BODY),
    Route(method="PUT", path=_ONE, handler=update_agent, policy="update_agent", body="network/agent-update"),
    Route(method="DELETE", path=_ONE, handler=delete_agent, policy="delete_agent", body=NO_BODY),
]
