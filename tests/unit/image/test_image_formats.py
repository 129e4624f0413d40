"""The inspector sees through every disguise, however the data is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skybus.image.formats import DISK_FORMATS, MAX_VIRTUAL_BYTES, ImageRefused, Inspector
from support.disk_images import MIB, every_evil_image, partitioned, qcow2, raw


def inspect(disk_format: str, data: bytes, step: int, container: str = "bare") -> int:
    inspector = Inspector(disk_format, container)
    for start in range(0, len(data), step):
        inspector.eat(data[start : start + step])
    return inspector.finish()


@pytest.mark.parametrize("step", [7919, 65536, MIB])
@pytest.mark.parametrize("name", every_evil_image())
def test_evil_images_are_refused(name: str, step: int) -> None:
    """Security class 1."""
    disk_format, data = every_evil_image()[name]
    with pytest.raises(ImageRefused):
        inspect(disk_format, data, step)


@pytest.mark.parametrize("step", [7919, MIB])
def test_the_size_that_a_guest_sees_is_found(step: int) -> None:
    assert inspect("qcow2", qcow2(5 * MIB), step) == 5 * MIB
    assert inspect("raw", raw(1000), step) == 1000
    assert inspect("raw", partitioned(), step) == MIB
    assert inspect("raw", b"", step) == 0


def test_a_refusal_names_both_formats() -> None:
    with pytest.raises(ImageRefused, match="disk_format is raw, and the data is qcow2"):
        inspect("raw", qcow2(), MIB)
    with pytest.raises(ImageRefused, match="backing file"):
        inspect("qcow2", qcow2(backing="/etc/shadow"), MIB)


SEEDS = [(disk_format, data[:70_000]) for disk_format, data in every_evil_image().values()]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    declared=st.sampled_from(["same", *DISK_FORMATS]),
    cuts=st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=9)), max_size=4),
    length=st.integers(0, 70_000),
)
def test_damaged_headers_are_measured_or_refused_and_never_crash(
    seed: tuple[str, bytes], declared: str, cuts: list[tuple[int, bytes]], length: int
) -> None:
    """Security class 3: a parser of hostile bytes."""
    disk_format, data = seed
    for start, patch in cuts:
        data = data[:start] + patch + data[start + len(patch) :]
    try:
        size = inspect(disk_format if declared == "same" else declared, data[:length], 32_768)
    except ImageRefused:
        return
    assert 0 <= size <= MAX_VIRTUAL_BYTES
