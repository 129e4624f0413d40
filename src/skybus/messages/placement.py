"""Placement: what the conductor asks of the scheduler, what it answers, what is announced of hosts."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Answer, Command, Event


class Placed(Answer, frozen=True, kw_only=True):
    """`host` was chosen, and the capacity is claimed there for `consumer_id`."""

    TYPE: ClassVar[str] = "skybus.placement.answer.placed.v1"
    SUBJECT: ClassVar[str] = "consumer_id"
    consumer_id: str
    host: str


class Place(Command, frozen=True, kw_only=True):
    """Choose a host of `kind` and claim `resources` there for `consumer_id`. An existing claim is answered again.

    A refusal is `Failed` with code `placement.no-valid-host`; its details are
    `{"hosts": N, "removed": {filter: count}, "closest": [{"host", "reason"}]}`.
    """

    TYPE: ClassVar[str] = "skybus.placement.command.place.v1"
    SUBJECT: ClassVar[str] = "consumer_id"
    ANSWER: ClassVar[type[Answer]] = Placed
    consumer_id: str
    project_id: str
    kind: str
    """`compute` or `volume`."""
    resources: dict[str, int]
    """Amounts by OpenStack's resource class: VCPU, MEMORY_MB, DISK_GB."""
    availability_zone: str | None = None
    avoid: list[str] = []
    """Hosts that were tried in vain."""


class ProviderChanged(Event, frozen=True, kw_only=True):
    """A host came, went, or its capacity or use changed. Feeds the schedulers' host tables: a picture with a
    `generation` not above the one that is known is old news."""

    TYPE: ClassVar[str] = "skybus.placement.provider.changed.v1"
    SUBJECT: ClassVar[str] = "host"
    kind: str
    host: str
    generation: int
    up: bool
    enabled: bool
    availability_zone: str
    capacity: dict[str, int]
    """By resource class: what may be claimed in all, reserve taken off and allocation ratio applied."""
    used: dict[str, int]
