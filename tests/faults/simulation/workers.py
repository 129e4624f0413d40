"""Running seeds in as many processes as are wanted, each with a site of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from contextlib import ExitStack
from multiprocessing import get_context, util
from pathlib import Path
from typing import Any

import msgspec

from simulation.planted import planted
from simulation.run import Outcome, run
from simulation.site import Site, site

_kept = ExitStack()
_site: Site | None = None


def outcomes(start: int, seeds: int, workers: int, end: float | None) -> Iterator[Outcome]:
    """Those of the seeds from `start` on, as they come. None begins after `end`, in monotonic seconds."""
    context = get_context("spawn")
    with ProcessPoolExecutor(min(workers, max(seeds, 1)), mp_context=context, initializer=_begin) as pool:
        waiting: set[Future[Outcome]] = set()
        following = iter(range(start, start + seeds))
        more = True
        while more or waiting:
            while more and len(waiting) < workers + 1:
                seed = next(following, None)
                more = seed is not None and (end is None or time.monotonic() < end)
                if more and seed is not None:
                    waiting.add(pool.submit(_one, seed))
            if waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)


class Found(msgspec.Struct, kw_only=True):
    """How a planted mistake came out."""

    name: str
    wrong: str
    seeds: int
    """How many were run; the last one found it, if any did."""
    outcome: Outcome | None = None


def found(names: Sequence[str], start: int, seeds: int, workers: int) -> Iterator[Found]:
    """For each planted mistake, the first seed from `start` on that finds it, among `seeds`. As they come."""
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        for future in as_completed([pool.submit(_find, name, start, seeds) for name in names]):
            yield future.result()


def _find(name: str, start: int, seeds: int) -> Found:
    mistake = next(one for one in planted() if one.name == name)
    for number, seed in enumerate(range(start, start + seeds), 1):
        with mistake.growing():
            outcome = _one(seed)
        if outcome.broken:
            return Found(name=name, wrong=mistake.wrong, seeds=number, outcome=outcome)
    return Found(name=name, wrong=mistake.wrong, seeds=seeds)


def followed(seed: int) -> Outcome:
    """That of a seed, here and now, with every step printed."""
    _begin()
    try:
        return _one(seed, print)
    finally:
        _kept.close()


def _begin() -> None:
    """What a worker needs for all its seeds; it is removed when the worker ends."""
    global _site
    folder = _kept.enter_context(tempfile.TemporaryDirectory(prefix="skyfaults-"))
    _site = _kept.enter_context(site(Path(folder)))
    util.Finalize(None, _kept.close, exitpriority=10)


def _one(seed: int, follow: Any = None) -> Outcome:
    assert _site is not None
    return run(seed, _site, follow)
