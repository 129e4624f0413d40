"""Do tasks that wait for each other in as little time as their order allows."""

from __future__ import annotations

import concurrent.futures as futures
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .progress import Progress
from .trouble import Trouble


@dataclass(frozen=True)
class Task:
    """One line of the progress display. `do` may return a few words about what it found or did."""

    name: str
    do: Callable[[], str | None]
    needs: tuple[str, ...]


class GivenUp(Trouble):
    """A task has stopped waiting, because another one failed."""


class Plan:
    """Tasks by name; each starts as soon as all that it needs are done, on a thread of its own."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, Task] = {}
        self.failed = False

    def add(self, name: str, do: Callable[[], str | None], needs: Iterable[str] = ()) -> None:
        """Add a task; what it needs must have been added before (so there are no circles)."""
        wants = tuple(needs)
        missing = [need for need in wants if need not in self.tasks]
        assert not missing, f"{name} needs unknown tasks: {missing}"
        self.tasks[name] = Task(name, do, wants)

    def run(self) -> None:
        """Run all. After the first failure nothing new starts; what runs is awaited. Raises Trouble."""
        waiting = dict(self.tasks)
        done: set[str] = set()
        running: dict[futures.Future[None], str] = {}
        failures: list[BaseException] = []
        with futures.ThreadPoolExecutor(max_workers=len(self.tasks) or 1) as pool:
            while running or (waiting and not failures):
                if not failures:
                    for name in [name for name, task in waiting.items() if done.issuperset(task.needs)]:
                        running[pool.submit(self.one, waiting.pop(name))] = name
                ended, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                for future in ended:
                    name = running.pop(future)
                    error = future.exception()
                    if error is None:
                        done.add(name)
                    else:
                        failures.append(error)
                        self.failed = True
        if failures:
            raise together(failures)

    def go_on(self) -> None:
        """For tasks that wait long. Raises GivenUp when another task failed."""
        if self.failed:
            raise GivenUp("not awaited any longer")

    def one(self, task: Task) -> None:
        """Run one task under its progress line. Any surprise becomes a Trouble that names the task."""
        with self.progress.step(task.name) as step:
            try:
                step.note = task.do() or ""
            except Trouble:
                raise
            except Exception as error:
                raise Trouble(f"{task.name}: {type(error).__name__}: {error}") from error


def together(failures: list[BaseException]) -> BaseException:
    """One error that says what all of them say, those that gave up apart."""
    failures = [failure for failure in failures if not isinstance(failure, GivenUp)]
    if len(failures) == 1 or not all(isinstance(failure, Trouble) for failure in failures):
        return failures[0]
    return Trouble("several things failed:\n" + "\n".join(f"- {f.text()}" for f in failures if isinstance(f, Trouble)))
