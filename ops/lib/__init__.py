"""The machinery behind the commands in `ops/`. Standard library only: it runs before any virtual environment exists."""
