"""The token's form: short, signed, read back as it was written."""

from __future__ import annotations

import base64
import hmac

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skybus.identity.auth.claims import MAC_BYTES, PREFIX, Claims, _pack, _Packed, new_audit_id, seal, unseal
from skybus.identity.delegation.delegations import LETTERS, DelegationKey
from skybus.ids import new_hex_id, new_id

KEY, OTHER = b"k" * 32, b"o" * 32

ids = st.one_of(st.builds(new_hex_id), st.builds(new_id), st.text("abcdefXYZ-_.0", min_size=1, max_size=64))
keys = st.builds(
    DelegationKey, st.sampled_from(sorted(LETTERS)), ids, st.booleans(), st.lists(ids, max_size=3).map(tuple)
)
times = st.integers(0, 2**40)
scopes = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"project_id": ids, "project_domain_id": ids}),
    st.fixed_dictionaries({"domain_id": ids}),
    st.just({"system": True}),
    st.fixed_dictionaries({"image_id": ids}),
)
role_names = st.text(st.characters(exclude_characters="\x1f", exclude_categories=("Cs",)), min_size=1, max_size=20)


@st.composite
def claims(draw: st.DrawFn) -> Claims:
    """Any claims that the cloud could make."""
    return Claims(
        user_id=draw(ids),
        user_domain_id=draw(ids),
        methods=tuple(draw(st.lists(st.sampled_from(("password", "token", "totp")), min_size=1, unique=True))),
        audit_ids=(new_audit_id(), new_audit_id())[: draw(st.integers(1, 2))],
        issued_at=draw(times),
        expires_at=draw(times),
        revision=draw(times),
        roles=tuple(draw(st.lists(role_names, max_size=5))),
        delegation=draw(st.none() | keys),
        **draw(scopes),
    )


@given(claims())
def test_a_token_says_what_was_put_into_it(said: Claims) -> None:
    token = seal(said, KEY)
    assert unseal(token, [KEY]) == said
    assert unseal(token, [OTHER, KEY]) == said
    assert unseal(token, [OTHER]) is None


@given(claims(), st.data())
def test_a_token_changed_in_any_bit_says_nothing(said: Claims, data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(seal(said, KEY).removeprefix(PREFIX) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    forged = PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert unseal(forged, [KEY]) is None


@given(st.text(max_size=200))
def test_nonsense_says_nothing(text: str) -> None:
    assert unseal(text, [KEY]) is None
    assert unseal(PREFIX + text, [KEY]) is None


def test_a_signed_message_of_another_shape_says_nothing() -> None:
    import hmac

    for body in ([], {}, 7, ["a", "b"], [1, 2, "x", [], 1, 2, 3], ["u", 5, "m", [b"x"], 1, 2, 3]):
        payload = msgspec.msgpack.encode(body)
        token = payload + hmac.digest(KEY, payload, "sha256")[:16]
        assert unseal(PREFIX + base64.urlsafe_b64encode(token).rstrip(b"=").decode(), [KEY]) is None


def test_a_project_scoped_token_is_short() -> None:
    said = Claims(
        user_id=new_hex_id(),
        user_domain_id="default",
        methods=("password",),
        audit_ids=(new_audit_id(),),
        issued_at=1_800_000_000,
        expires_at=1_800_003_600,
        revision=1000,
        project_id=new_hex_id(),
        project_domain_id="default",
        roles=("admin", "manager", "member", "reader"),
    )
    assert len(seal(said, KEY)) < 230


@given(claims())
def test_a_token_that_says_more_than_we_know_is_not_believed(said: Claims) -> None:
    whole = [getattr(_pack(said), name) for name in _Packed.__struct_fields__]
    payload = msgspec.msgpack.encode([*whole, "a limit"])
    assert unseal(_signed(payload), [KEY]) is None
    assert unseal(_signed(msgspec.msgpack.encode(whole)), [KEY]) == said


def _signed(payload: bytes) -> str:
    data = payload + hmac.digest(KEY, payload, "sha256")[:MAC_BYTES]
    return PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode()
