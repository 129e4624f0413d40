"""Keys, signatures, and what a fault says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.compute.instance_identity import KEY_FILE, InstanceIdentity, verified
from skybus.compute.key_material import fingerprint_of, generate
from skybus.compute.server_life import fault_details, fault_message
from skybus.errors import BadRequest


def test_a_generated_key_is_what_ssh_keygen_takes_it_for(tmp_path: Path) -> None:
    public, private = generate("made here")
    file = tmp_path / "key"
    file.write_text(private)
    file.chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, timeout=20)
    assert derived.stdout.split()[:2] == public.split()[:2]
    (tmp_path / "key.pub").write_text(public)
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-E", "md5", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True, timeout=20
    )
    assert f"MD5:{fingerprint_of('ssh', public)}" in listed.stdout


@given(st.text(max_size=200))
def test_no_text_crashes_the_fingerprint(text: str) -> None:
    for kind in ("ssh", "x509"):
        with pytest.raises(BadRequest):
            fingerprint_of(kind, text)


def test_an_identity_is_signed_with_one_key_that_others_cannot_read(tmp_path: Path) -> None:
    """Security class 12: who a guest is, is proved by a signature."""
    first, second = InstanceIdentity.load(tmp_path), InstanceIdentity.load(tmp_path)
    assert first.public_jwk == second.public_jwk
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    document, signature = first.sign({"instance_id": "1", "name": "né"})
    assert verified(document, signature, second.public_jwk)
    for forged in (document.replace("1", "2"), document + " ", ""):
        assert not verified(forged, signature, first.public_jwk)
    for broken in ("", "..", "e30..AAAA", signature[:-4], signature.replace("..", ".")):
        assert not verified(document, broken, first.public_jwk)


def test_an_identity_of_another_cloud_is_none(tmp_path: Path) -> None:
    ours, theirs = InstanceIdentity.load(tmp_path / "a"), InstanceIdentity.load(tmp_path / "b")
    assert not verified(*theirs.sign({}), ours.public_jwk)


def test_a_refused_placement_tells_the_counts_to_all_and_the_hosts_to_administrators() -> None:
    details = {"hosts": 3, "removed": {"disabled": 1, "ram": 2}, "closest": [{"host": "h7", "reason": "16 MiB short"}]}
    message = fault_message("placement.no-valid-host", "There are not enough hosts available.", details)
    assert message == "No valid host was found. Of 3, disabled removed 1, ram removed 2; the closest: 16 MiB short."
    assert "h7" not in message
    assert "h7: 16 MiB short" in (fault_details(details) or "")
    assert fault_message("compute.broken", "The disk is broken.", details) == "The disk is broken."
    assert fault_details({}) is None
