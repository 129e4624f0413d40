"""How long it took to be normal again: a row for each fault, and one table of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from standing import Silence

COLUMNS = ("fault", "held", "mended", "served", "guests", "clean", "errors")


@dataclass
class Times:
    """Seconds since the fault began; 0 for what did not come to pass."""

    fault: str
    held: float = 0
    """Until it was over, or repair began."""
    mended: float = 0
    """Until the repair was over."""
    served: float = 0
    """Until each user had a whole round served that began after the fault."""
    guests: float = 0
    """Until standing guests were seen to have their network, metadata, lease and disk."""
    clean: float = 0
    """Until no invariant was broken: nothing at work, nothing that differs."""
    errors: list[str] = field(default_factory=list)
    noticed: dict[str, Silence] = field(default_factory=dict)
    """What a guest noticed."""

    def row(self) -> list[str]:
        """As text."""
        seconds = [
            f"{one:.1f}" if one else "-" for one in (self.held, self.mended, self.served, self.guests, self.clean)
        ]
        return [self.fault, *seconds, str(len(self.errors))]

    def gaps(self) -> str:
        """What the guest noticed, in a line."""
        return "; ".join(f"{what} {silence}" for what, silence in sorted(self.noticed.items()))


def table(all_times: Iterable[Times]) -> list[str]:
    """The lines of the table."""
    known = list(all_times)
    rows = [list(COLUMNS), *(times.row() for times in known)]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
    lines += [f"  {times.fault}: {times.gaps()}" for times in known if times.noticed]
    return lines + [f"  {times.fault}: {error}" for times in known for error in times.errors]
