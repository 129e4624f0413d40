"""Signatures of EC2 and S3 requests: those of Amazon's own examples hold, and nothing that differs by a letter does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.credentials.ec2_signatures import SignedRequest, check_age, check_signature, version_4
from skybus.identity.credentials.s3_signatures import check_s3

ACCESS = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PLUS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HEX = "89cdf9e94e2643cab35b8b8ac5a51f83"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

V0 = {
    "access": ACCESS,
    "signature": "SmXQEZAUdQw5glv5mX8mmixBtas=",
    "params": {"SignatureVersion": "0", "Timestamp": "2012-11-27T11:47:02Z", "Action": "Foo"},
}
V1 = {
    "access": ACCESS,
    "signature": "VRnoQH/EhVTTLhwRLfuL7jmFW9c=",
    "params": {"SignatureVersion": "1", "AWSAccessKeyId": "966afbde20b84200ae4e62e09acf46b2"},
}
V2 = {
    "access": ACCESS,
    "signature": "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs=",
    "verb": "GET",
    "host": "elasticmapreduce.amazonaws.com",
    "path": "/",
    "params": {
        "AWSAccessKeyId": ACCESS,
        "Action": "DescribeJobFlows",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30",
        "Version": "2009-03-31",
    },
}
SCOPE = "20150830/us-east-1/iam/aws4_request"
NAMES = "content-type;host;x-amz-date"
V4 = {
    "access": "AKIDEXAMPLE",
    "signature": "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    "verb": "GET",
    "host": "iam.amazonaws.com",
    "path": "/",
    "params": {"Action": "ListUsers", "Version": "2010-05-08"},
    "headers": {
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Host": "iam.amazonaws.com",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders={NAMES}, Signature=x",
    },
    "body_hash": EMPTY,
}
S3_V1 = b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg"
S3_V4 = (
    b"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
    b"7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
)
GOOD = [("0", V0, HEX), ("1", V1, HEX), ("2", V2, SECRET), ("4", V4, PLUS)]


@pytest.fixture
def at() -> Iterator[Any]:
    """Sets the clock."""

    def use(moment: datetime) -> None:
        clock.use(lambda: moment)

    yield use
    clock.use(None)


def holds(said: dict[str, Any], secret: str) -> bool:
    try:
        check_signature(SignedRequest.of(said), secret)
    except Unauthorized:
        return False
    return True


def changed(said: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`said` with one thing otherwise: `params.Action` is inside."""
    outer, _, inner = name.partition(".")
    return {**said, outer: {**said.get(outer, {}), inner: value} if inner else value}


@pytest.mark.parametrize(("version", "said", "secret"), GOOD, ids=lambda value: value if len(value) == 1 else "")
def test_the_examples_hold(version: str, said: dict[str, Any], secret: str) -> None:
    assert SignedRequest.of(said).version == version
    assert holds(said, secret)
    assert not holds(said, secret + "x")
    assert not holds(changed(said, "signature", said["signature"][:-2] + "A="), secret)
    assert not holds(changed(said, "signature", ""), secret)


@pytest.mark.parametrize(
    ("said", "secret", "name", "value"),
    [
        (V0, HEX, "params.Action", "Bar"),
        (V0, HEX, "params.Timestamp", "2012-11-27T11:47:03Z"),
        (V1, HEX, "params.Timestamp", "2012-11-27T11:47:03Z"),
        (V1, HEX, "params.AWSAccessKeyId", "966afbde20b84200ae4e62e09acf46b3"),
        (V2, SECRET, "verb", "POST"),
        (V2, SECRET, "host", "elsewhere.test"),
        (V2, SECRET, "path", "/x"),
        (V2, SECRET, "params.Action", "TerminateJobFlows"),
        (V2, SECRET, "params.More", "1"),
        (V2, SECRET, "params.SignatureMethod", "HmacSHA1"),
        (V2, SECRET, "params.SignatureVersion", "3"),
        (V4, PLUS, "verb", "DELETE"),
        (V4, PLUS, "path", "/x"),
        (V4, PLUS, "params.Action", "DeleteUser"),
        (V4, PLUS, "params.More", "1"),
        (V4, PLUS, "headers.Host", "elsewhere.test"),
        (V4, PLUS, "headers.Content-Type", "application/json"),
        (V4, PLUS, "headers.X-Amz-Date", "20150830T123601Z"),
        (V4, PLUS, "headers.X-Amz-Date", "20150831T123600Z"),
        (V4, PLUS, "headers.X-Amz-Date", ""),
        (V4, PLUS, "body_hash", "0" * 64),
        (V4, PLUS, "body_hash", ""),
        (V4, PLUS, "body_hash", "UNSIGNED-PAYLOAD"),
        (V4, PLUS, "access", "AKIDEXAMPLF"),
    ],
)
def test_whatever_is_signed_cannot_be_changed(said: dict[str, Any], secret: str, name: str, value: Any) -> None:
    assert holds(said, secret)
    assert not holds(changed(said, name, value), secret)


@pytest.mark.parametrize(
    "authorization",
    [
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders=content-type;x-amz-date, Signature=x",
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders={NAMES};x-not-there, Signature=x",
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders={NAMES};host, Signature=x",
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE[:-1]}, SignedHeaders={NAMES}, Signature=x",
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/iam, SignedHeaders={NAMES}, Signature=x",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA1 Credential=x",
        "",
    ],
)
def test_a_strange_authorization_is_refused(authorization: str) -> None:
    assert not holds(changed(V4, "headers.Authorization", authorization), PLUS)


@pytest.mark.parametrize(("signed", "headers", "good"), [
    ("host;x-amz-date", "host:iam.test\nx-amz-date:20150830T123600Z\n", True),
    ("x-amz-date", "x-amz-date:20150830T123600Z\n", False),
    ("host;x-amz-date;x-more", "host:iam.test\nx-amz-date:20150830T123600Z\n", False),
])  # fmt: skip
def test_even_what_is_signed_well_must_sign_the_host_and_only_what_is_there(
    signed: str, headers: str, good: bool
) -> None:
    canonical = f"GET\n/\n\n{headers}\n{signed}\n{EMPTY}"
    text = f"AWS4-HMAC-SHA256\n20150830T123600Z\n{SCOPE}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    said = {
        "access": "AKIDEXAMPLE",
        "signature": version_4(PLUS.encode(), text, SCOPE.split("/")),
        "verb": "GET",
        "host": "iam.test",
        "path": "/",
        "headers": {
            "X-Amz-Date": "20150830T123600Z",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders={signed}, Signature=x",
        },
        "body_hash": EMPTY,
    }
    assert holds(said, PLUS) is good


def test_a_client_may_leave_the_port_out_of_what_it_signs_by_version_2() -> None:
    assert holds(changed(V2, "host", "elasticmapreduce.amazonaws.com:8773"), SECRET)
    assert not holds(changed(V2, "host", "elsewhere.test:8773"), SECRET)
    assert not holds(changed(V2, "host", "[:1"), SECRET)


def test_spaces_in_a_signed_header_do_not_count() -> None:
    assert holds(changed(V4, "headers.Content-Type", " application/x-www-form-urlencoded;   charset=utf-8 "), PLUS)


def test_the_time_of_a_version_4_request_is_the_one_that_is_signed() -> None:
    """Parameters of a POST are not in its string to sign: a time among them must not make an old request new."""
    said = changed(changed(V4, "params.Timestamp", "2026-01-01T00:00:00Z"), "params.X-Amz-Date", "20260101T000000Z")
    assert SignedRequest.of(said).signed_at == datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert SignedRequest.of(V2).signed_at == datetime(2011, 10, 3, 15, 19, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "said", [V1, changed(V0, "params.Timestamp", "yesterday"), changed(V4, "headers.X-Amz-Date", "20159930T123600Z")]
)
def test_a_signature_without_a_time_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        _ = SignedRequest.of(said).signed_at


def test_a_signature_is_good_for_a_quarter_of_an_hour(at: Any) -> None:
    signed_at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for minutes in (-15, 0, 15):
        at(signed_at + timedelta(minutes=minutes))
        check_age(signed_at)
    for minutes in (-16, 16):
        at(signed_at + timedelta(minutes=minutes))
        with pytest.raises(Unauthorized):
            check_age(signed_at)
    for far in (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(Unauthorized):
            check_age(far)


def s3_holds(text: bytes, signature: str, secret: str = SECRET, **more: Any) -> bool:
    try:
        check_s3(text, signature, secret, **more)
    except Unauthorized:
        return False
    return True


def test_the_s3_examples_hold_in_their_time(at: Any) -> None:
    one, four = "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    at(datetime(2007, 3, 27, 19, 40, tzinfo=UTC))
    assert s3_holds(S3_V1, one)
    assert not s3_holds(S3_V1 + b"x", one)
    assert not s3_holds(S3_V4, four), "of a time to come"
    at(datetime(2013, 5, 24, 0, 14, tzinfo=UTC))
    assert s3_holds(S3_V4, four)
    assert not s3_holds(S3_V4, four, secret="another")
    assert not s3_holds(S3_V1, one), "too old"
    at(datetime(2013, 5, 24, 1, tzinfo=UTC))
    assert not s3_holds(S3_V4, four), "replayed"
    assert s3_holds(S3_V4, four, lifetime=timedelta(hours=2)), "signed in advance, the object store read for how long"


@pytest.mark.parametrize(
    "text",
    [
        S3_V4.replace(b"/s3/", b"/ec2/"),
        S3_V4.replace(b"aws4_request", b"aws4_other"),
        S3_V4.replace(b"20130524/us-east-1", b"20130525/us-east-1"),
        S3_V4.replace(b"20130524/us-east-1/s3/aws4_request", b"20130524/s3"),
        S3_V4 + b"\nmore",
        S3_V4[:-1],
        b"AWS4-PADDED\nY\nX\nX",
        b"AWS4",
        b"string to sign",
        b"GET\n\n\n\n/bucket",
        b"GET\n\n\n9999999999\n/bucket",
        b"GET\n\n\n1\n/bucket",
        b"GET\n\n\nTue, 99 Mar 2007 19:36:42 +0000\n/bucket",
        b"GET\n\n\n\xd9\xa3\n/bucket",
        b"",
    ],
)
def test_a_string_that_no_client_signs_is_refused_even_when_it_is_signed_well(text: bytes, at: Any) -> None:
    at(datetime(2013, 5, 24, 0, 5, tzinfo=UTC))
    lines = text.decode(errors="replace").split("\n")
    scope = lines[2].split("/") if len(lines) > 2 else []
    assert not s3_holds(text, base64.b64encode(hmac.digest(SECRET.encode(), text, "sha1")).decode())
    assert not s3_holds(text, version_4(SECRET.encode(), text, scope))


def test_an_address_signed_in_advance_ends_when_it_says(at: Any) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    text = b"GET\n\n\n%d\n/bucket/key" % (now.timestamp() + 600)
    signature = base64.b64encode(hmac.digest(SECRET.encode(), text, "sha1")).decode()
    at(now)
    assert s3_holds(text, signature)
    at(now + timedelta(seconds=601))
    assert not s3_holds(text, signature)
    at(now - timedelta(hours=1))
    assert not s3_holds(text, signature)


def test_a_signed_request_prints_no_secret() -> None:
    said = changed(V4, "params.Password", "canary-77")
    shown = repr(SignedRequest.of(said))
    assert "canary" not in shown
    assert V4["signature"] not in shown
    assert "iam.amazonaws.com" in shown
