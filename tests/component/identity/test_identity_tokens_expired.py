"""`allow_expired`: a service finishes what it took in time, on behalf of a token that has ended meanwhile."""

from __future__ import annotations

from identity_cloud import PASSWORD, Cloud
from login_settings import later

from skybus.identity import Tokens
from skybus.store import Store
from support.front import Answer


async def look(
    cloud: Cloud, subject: str, token: str, *, query: str = "?allow_expired=1", head: bool = False
) -> Answer:
    """Validate `subject`."""
    method = "HEAD" if head else "GET"
    return await cloud.call(method, "/auth/tokens" + query, token=token, headers={"X-Subject-Token": subject})


Robot = tuple[str, str]


async def service(cloud: Cloud) -> Robot:
    """A service user and its project."""
    user, project = await cloud.made("user", password=PASSWORD), await cloud.made("project")
    path = f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['service']}"
    assert (await cloud.call("PUT", path)).status == 204
    return user["id"], project["id"]


async def fresh(cloud: Cloud, robot: Robot) -> str:
    """A token that is good now."""
    return await cloud.token(*robot)


async def test_an_expired_token_can_be_looked_at_for_two_days(cloud: Cloud) -> None:
    _, _, subject = await cloud.member()
    helper = await service(cloud)
    before = await look(cloud, subject, await fresh(cloud, helper))
    for hours in (2, 48):
        with later(hours=hours):
            token = await fresh(cloud, helper)
            assert not await cloud.works(subject)
            answer = await look(cloud, subject, token)
            assert answer.status == 200
            assert answer.body == before.body
            assert (await look(cloud, subject, token, head=True)).status == 403
            for query in ("", "?allow_expired=0", "?allow_expired=false", "?nocatalog"):
                assert (await look(cloud, subject, token, query=query)).status == 404, query
            assert (
                "catalog" not in (await look(cloud, subject, token, query="?allow_expired=1&nocatalog")).body["token"]
            )
            assert (await cloud.again(subject)).status == 404
    with later(hours=50):
        assert (await look(cloud, subject, await fresh(cloud, helper))).status == 404


async def test_who_may_not_validate_may_not_look_at_expired_ones(cloud: Cloud) -> None:
    _, _, subject = await cloud.member()
    other, project, _ = await cloud.member()
    with later(hours=2):
        stranger = await cloud.token(other["id"], project["id"])
        assert (await look(cloud, subject, stranger)).status == 403
        assert (await look(cloud, subject, subject)).status == 401


async def test_a_revoked_token_stays_dead_after_its_end(cloud: Cloud, store: Store) -> None:
    """Security class 7: the revocation is remembered for as long as the token can be looked at."""
    _, _, first = await cloud.member()
    _, _, second = await cloud.member()
    helper = await service(cloud)
    await cloud.call("DELETE", "/auth/tokens", headers={"X-Subject-Token": first})
    with later(hours=40):
        token = await fresh(cloud, helper)
        # Another revocation clears away the ones that nobody needs any more.
        await cloud.call("DELETE", "/auth/tokens", token=token, headers={"X-Subject-Token": token})
        token = await fresh(cloud, helper)
        assert (await look(cloud, first, token)).status == 404
        assert (await look(cloud, second, token)).status == 200
        late = Tokens(cloud.identity.tokens.keys)
        await late.load(store)
        assert late.revocations.covers(late.subject(second, 172_800)) is False
        cloud.identity.tokens.revocations = late.revocations
        cloud.identity.tokens._known.clear()
        assert (await look(cloud, first, token)).status == 404
