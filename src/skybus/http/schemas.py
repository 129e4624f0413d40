"""Request bodies checked against the JSON Schemas under schemas/api, compiled on first use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec

from skybus.errors import BadRequest

FOLDER = Path(__file__).resolve().parents[3] / "schemas" / "api"

_compiled: dict[str, Callable[[Any], Any]] = {}


def path_of(name: str) -> Path:
    """The file of schema `name`, as in `compute/server-create`."""
    return FOLDER / f"{name}.json"


def check(name: str, body: Any) -> None:
    """Hold `body` against schema `name`. Raises BadRequest that names the place and the rule that was broken."""
    validate = _compiled.get(name)
    if validate is None:
        validate = _compiled[name] = _compile(name)
    try:
        validate(body)
    except fastjsonschema.JsonSchemaValueException as error:
        place = "/".join(str(part) for part in error.path[1:])
        message = error.message.removeprefix(error.name or "").strip()
        value = repr(error.value)
        value = value if len(value) <= 80 else value[:77] + "..."
        raise BadRequest(
            f"Invalid input for field/attribute {place or 'body'}. Value: {value}. It {message}."
        ) from None


def _compile(name: str) -> Callable[[Any], Any]:
    schema = msgspec.json.decode(path_of(name).read_bytes())
    formats = {"uuid": r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z"}
    validate: Callable[[Any], Any] = fastjsonschema.compile(schema, formats=formats, use_default=False)
    return validate
