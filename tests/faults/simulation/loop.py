"""An event loop in which time passes only when nobody has anything to do, and in which a process can be killed.

There is no I/O in it, so what happens, and in which order, follows from the program alone. Each callback runs in the
context of the life that scheduled it; a life that has ended runs nothing any more, no `except` and no `finally`, which
is what SIGKILL does to a process.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import selectors
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class NothingWillHappen(RuntimeError):
    """Somebody waits, and no timer is set that could end it."""


class Life:
    """One run of one simulated process, from its start to its death."""

    def __init__(self, name: str, died: Callable[[Life], None]) -> None:
        self.name = name
        self.alive = True
        self.steps = 0
        self.dies_at: int | None = None
        """The step, counted from the birth, before which it dies."""
        self.tasks: list[asyncio.Task[Any]] = []
        """Kept to the end of the simulation: a task that is collected would run its `finally`."""
        self._died = died

    def step(self) -> bool:
        """Whether the next callback of this life runs."""
        if self.alive:
            self.steps += 1
            if self.dies_at is not None and self.steps >= self.dies_at:
                self.die()
        return self.alive

    def die(self) -> None:
        """At once, wherever it is."""
        if self.alive:
            self.alive = False
            self._died(self)


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)
"""Whose code runs; None is the simulation's own, which never dies."""


class _Handle(asyncio.Handle):
    __slots__ = ()

    def _run(self) -> None:
        life = self._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or life.step():
            super()._run()


class _Timer(asyncio.TimerHandle):
    __slots__ = ()

    def _run(self) -> None:
        life = self._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or life.step():
            super()._run()


class _Clock(selectors.SelectSelector):
    """Nothing is ever ready; waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let `timeout` seconds pass. Raises NothingWillHappen when that would be for ever."""
        if timeout is None:
            raise NothingWillHappen("everybody waits, and for nothing that could come")
        self.now += max(timeout, 0.0)
        return []


class Loop(asyncio.SelectorEventLoop):
    """See the module. Threads' work is done at once, in the thread that asked for it."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)
        self.set_task_factory(_task)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._clock.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As asyncio has it, for the life in `context`."""
        self._check_closed()  # type: ignore[attr-defined]
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio has it, for the life in `context`."""
        self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Done when it returns."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def _task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    life = LIFE.get() if context is None else context.get(LIFE)
    if life is not None:
        life.tasks.append(task)
    return task
