"""Show an operator what is going on: one line per step with its time, and a table at the end."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SPIN = "|/-\\"
QUIET_SECONDS = 10.0
"""Without a terminal, a step that takes long is named again after this time."""


@dataclass
class Step:
    """One thing being done."""

    name: str
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    note: str = ""
    named: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or time.monotonic()) - self.began


class Progress:
    """Lines of finished steps, and below them, on a terminal, the steps under way."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()
        self.lock = threading.Lock()
        self.running: list[Step] = []
        self.finished: list[Step] = []
        self.drawn = 0
        self.stop = threading.Event()
        self.painter: threading.Thread | None = None

    def __enter__(self) -> Progress:
        print(self.title, flush=True)
        self.painter = threading.Thread(target=self.paint, daemon=True)
        self.painter.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        if self.painter:
            self.painter.join()
        with self.lock:
            self.wipe()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show `name` as under way inside the block, then as done, or as failed when an error leaves it."""
        step = Step(name)
        with self.lock:
            self.running.append(step)
        mark = "failed"
        try:
            yield step
            mark = "ok"
        finally:
            step.ended = time.monotonic()
            with self.lock:
                self.running.remove(step)
                self.finished.append(step)
                self.line(f"  {mark:<6} {step.seconds:6.1f} s  {step.name}" + (f"  ({step.note})" if step.note else ""))

    def say(self, text: str) -> None:
        """One line of its own."""
        with self.lock:
            self.line(text)

    def line(self, text: str) -> None:
        """Print `text` above what is under way."""
        self.wipe()
        print(text, flush=True)
        self.draw()

    def paint(self) -> None:
        """Keep the running steps on the screen up to date."""
        while not self.stop.wait(0.2 if self.live else 1.0):
            with self.lock:
                if self.live:
                    self.wipe()
                    self.draw()
                else:
                    self.name_slow_ones()

    def name_slow_ones(self) -> None:
        """Without a terminal: say now and then what is still under way."""
        for step in self.running:
            if time.monotonic() - step.named > QUIET_SECONDS:
                step.named = time.monotonic()
                print(f"  ...    {step.seconds:6.1f} s  {step.name}", flush=True)

    def wipe(self) -> None:
        """Remove the running steps from the screen."""
        if self.drawn:
            sys.stdout.write(f"\x1b[{self.drawn}A\x1b[J")
            sys.stdout.flush()
            self.drawn = 0

    def draw(self) -> None:
        """Put the running steps on the screen."""
        if not self.live or not self.running:
            return
        size = shutil.get_terminal_size()
        spin = SPIN[int(time.monotonic() * 5) % len(SPIN)]
        shown = self.running[: max(1, size.lines - 4)]
        for step in shown:
            print(f"  {spin}      {step.seconds:6.1f} s  {step.name}"[: size.columns - 1])
        self.drawn = len(shown)
        sys.stdout.flush()

    def table(self, least: float = 0.05) -> str:
        """What took how long, in order of beginning. Steps overlap, so the total is less than their sum."""
        rows = [step for step in sorted(self.finished, key=lambda step: step.began) if step.seconds >= least]
        width = max([len(step.name) for step in rows] + [20])
        lines = [f"  {'step':<{width}}  began at   took"]
        lines += [f"  {s.name:<{width}}  {s.began - self.began:6.1f} s {s.seconds:6.1f} s" for s in rows]
        lines.append(f"  {'all of it':<{width}}           {time.monotonic() - self.began:6.1f} s")
        return "\n".join(lines)
