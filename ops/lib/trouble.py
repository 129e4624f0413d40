"""The one error that the commands in `ops/` show to their operator."""

from __future__ import annotations


class Trouble(Exception):
    """Something cannot be had: `what` says which, `advice` says what to do about it."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def text(self) -> str:
        """Both sentences, for the terminal."""
        return f"{self.what}\n   -> {self.advice}" if self.advice else self.what
