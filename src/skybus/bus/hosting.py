"""Serving an agent on the bus: its commands are carried out and answered, its reports and heartbeats sent."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import structlog

from skybus.bus.agent import Agent
from skybus.bus.envelope import ANSWERS, CONDUCTOR, REPORTS, Envelope, Post, seal
from skybus.bus.heart import Heart
from skybus.bus.message import Answer, Command, Failed, Message, Report, ReportAll
from skybus.bus.runner import Runner, answer
from skybus.bus.transport import BusError, Delivery, Transport, command_queue
from skybus.errors import CloudError

log = structlog.get_logger()

REMEMBERED = 10_000
"""Things of which an agent remembers the newest order."""


class AgentServer:
    """One agent, its queue and its heartbeat. A command is acknowledged after its answer was confirmed."""

    def __init__(self, agent: Agent, transport: Transport, *, prefetch: int, report_seconds: float) -> None:
        self.agent = agent
        self.transport = transport
        self.prefetch = prefetch
        self.report_seconds = report_seconds
        self.address = f"{agent.kind}.{agent.host}"
        self._runner = Runner(transport, self.address, self._handle)
        self._heart = Heart()
        self._beating: asyncio.Task[None] | None = None
        self._newest: OrderedDict[str, int] = OrderedDict()

    async def start(self) -> None:
        """Start the agent, announce it, take commands."""
        await self.prepare()
        await self.serve()

    async def prepare(self) -> None:
        """Start the agent. What it keeps up on its host needs no bus."""
        await self.agent.start(self.tell)

    async def serve(self) -> None:
        """Announce the agent and take commands. Raises BusError, and may be called again then."""
        picture = await self.agent.report(started=True)
        await self.tell(picture)
        self._heart.told(picture)
        await self._runner.consume(command_queue(self.address), prefetch=self.prefetch)
        self._beating = asyncio.create_task(self._beat())

    async def stop(self, grace_seconds: float) -> None:
        """Finish what is in hand; what runs on the host goes on running."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self._runner.stop(grace_seconds)
        await self.agent.close()

    async def tell(self, report: Report, *, key: str = CONDUCTOR) -> None:
        """Send a report to the conductor, such that it arrives; one that comes again anyway goes with the REPORTS."""
        post = Post(exchange=ANSWERS, key=key, envelope=seal(report, self.address))
        await self.transport.publish([post])

    async def _handle(self, delivery: Delivery, message: Message) -> None:
        if self._overtaken(delivery.envelope):
            log.warning("command_overtaken")
            return
        if isinstance(message, ReportAll):
            self._heart.forget()
            await self._say()
            return
        result = await self._carry_out(message)
        await answer(self.transport, self.address, delivery.envelope, result)

    def _overtaken(self, envelope: Envelope) -> bool:
        """Whether a later order about the same thing has come already: what was undone must not be done again. Whoever
        still wants it asks again."""
        if envelope.position is None or not envelope.subject:
            return False
        newest = self._newest.get(envelope.subject, 0)
        if envelope.position < newest:
            return True
        self._newest[envelope.subject] = envelope.position
        self._newest.move_to_end(envelope.subject)
        if len(self._newest) > REMEMBERED:
            self._newest.popitem(last=False)
        return False

    async def _carry_out(self, message: Message) -> Answer:
        handler = self.agent.handlers.get(type(message)) if isinstance(message, Command) else None
        if handler is None:
            return Failed(code="bus.not-for-us", reason=f"{self.address} does not carry out {message.TYPE}")
        try:
            return await handler(message)
        except CloudError as error:
            log.warning("command_failed", code=error.code, reason=error.reason, retry=error.retry)
            return Failed(code=error.code, reason=error.reason, retry=error.retry, details=error.details)
        except Exception as error:
            log.exception("command_crashed")
            return Failed(code="internal", reason=f"{self.address} ran into {type(error).__name__}", retry=True)

    async def _say(self) -> None:
        said = self._heart.beat(self.agent.kind, await self.agent.report(started=False))
        await self.tell(said, key=REPORTS)
        self._heart.told(said)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.report_seconds)
            try:
                await self._say()
            except (BusError, CloudError) as error:
                log.warning("heartbeat_missed", reason=str(error))
            except Exception:
                log.exception("heartbeat_crashed")
