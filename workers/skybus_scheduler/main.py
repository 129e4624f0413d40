"""The scheduler's process."""

from __future__ import annotations

from skybus.bus.transport import Transport
from skybus.config import Config
from skybus.store.part import WorkerPart
from skybus_scheduler.worker import Scheduler


class Part(WorkerPart):
    """The store, the relay and a scheduler."""

    def __init__(self, config: Config, transport: Transport) -> None:
        super().__init__("scheduler", config, transport)
        self.worker = Scheduler(self.store, transport)
