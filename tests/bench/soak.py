"""Churn at a share of the peak rate for a long time: does memory, does a queue, does a table grow?

Prints every series with its verdict, writes them as JSON and as a picture. Exit status 1 when something that must be
flat grows, or when a cycle failed. `ops/soak` runs this on a cloud of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from bench.api import api_of
from bench.churn import Churn, churning
from bench.plot import svg
from bench.samples import Samples, limit_of
from bench.site import Site, machine
from bench.trends import Trend, sparkline, trend
from bench.world import world

PEAK_LANES = 20
MOST = 200
"""Cycles at a time, beyond which the rate is evidently too high for the machine."""
CONNECTIONS = 24
"""Of ours, so that the gateways' open files are theirs to answer for."""
SHOWN_FAILURES = 5


async def soak(site: Site, args: argparse.Namespace) -> tuple[Samples, Churn]:
    """Measure the peak, then churn below it while samples are taken."""
    samples = Samples(site)
    await samples.open()
    try:
        async with (
            api_of(site.cloud(), connections=CONNECTIONS) as api,
            world(api) as made,
            churning(api, made) as churn,
        ):
            peak = await churn.peak(PEAK_LANES, args.peak_seconds)
            per_second = peak * args.share
            print(f"peak {peak:.1f} cycles/s; soaking at {per_second:.1f}/s for {args.minutes:g} min", flush=True)
            sampling = asyncio.create_task(samples.run(args.every))
            try:
                left_out = await churn.at(per_second, args.minutes * 60, MOST)
                await samples.take()
            finally:
                sampling.cancel()
                await asyncio.gather(sampling, return_exceptions=True)
            note = f", {left_out} left out because {MOST} ran already" if left_out else ""
            print(f"{churn.done} cycles, {len(churn.failed)} failed{note}")
    finally:
        await samples.close()
    return samples, churn


def report(samples: Samples, failed: list[str], args: argparse.Namespace) -> int:
    """Print, write; the exit status."""
    trends: dict[str, Trend] = {}
    bad: dict[str, bool] = {}
    for name in samples.shown():
        limit = limit_of(name)
        trends[name] = found = trend(samples.times, samples.series[name], limit)
        bad[name] = found.grows and limit.must_be_flat
        verdict = "GROWS" if bad[name] else "grows" if found.grows else "flat"
        note = "" if limit.must_be_flat else "  (not judged)"
        line = f"{name:<44} {sparkline(samples.series[name]):<40} {found.last:>10.1f}  {found.rise:>+9.1f}"
        print(f"{line}  {verdict}{note}")
    for reason in failed[:SHOWN_FAILURES]:
        print(f"a cycle failed: {reason}")
    write(samples, bad, trends, args)
    growing = [name for name, is_bad in bad.items() if is_bad]
    print(f"{len(growing)} of {len(bad)} series grow that must be flat" + "".join(f"\n  {name}" for name in growing))
    return 1 if growing or failed else 0


def write(samples: Samples, bad: dict[str, bool], trends: dict[str, Trend], args: argparse.Namespace) -> None:
    """The picture, and the series behind it."""
    shown = {name: samples.series[name] for name in trends}
    if args.plot:
        args.plot.write_text(svg(f"{args.minutes:g} minutes of churn", samples.times, shown, bad))
    if args.out:
        verdicts = {name: {"rise": found.rise, "grows": found.grows} for name, found in trends.items()}
        document = {"machine": machine(), "times": samples.times, "series": shown, "trends": verdicts}
        args.out.write_text(json.dumps(document) + "\n")


def main() -> int:
    """Read the arguments, soak, report."""
    parser = argparse.ArgumentParser(prog="ops/soak", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="state folder of the cloud")
    parser.add_argument("--minutes", default=30.0, type=float, help="how long (30)")
    parser.add_argument("--share", default=0.7, type=float, help="of the peak rate (0.7)")
    parser.add_argument("--peak-seconds", default=20.0, type=float, help="how long the peak is measured (20)")
    parser.add_argument("--every", default=10.0, type=float, help="seconds between two samples (10)")
    parser.add_argument("--plot", type=Path, help="write a picture there, SVG")
    parser.add_argument("--out", type=Path, help="write the series there, JSON")
    args = parser.parse_args()
    samples, churn = asyncio.run(soak(Site(args.state), args))
    return report(samples, churn.failed, args)


if __name__ == "__main__":
    sys.exit(main())
