"""Request bodies checked against the JSON Schemas under schemas/api, compiled on first use."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec

from skybus.errors import BadRequest

FOLDER = Path(__file__).resolve().parents[3] / "schemas" / "api"

SECRET = re.compile(r"pass|secret|token|blob|signature|credential|receipt|user_data|private", re.IGNORECASE)
"""Places in a body whose values are not repeated."""

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
        raise BadRequest(
            f"Invalid input for field/attribute {place or 'body'}. Value: {_shown(place, error.value)}. It {message}."
        ) from None


def _shown(place: str, value: Any) -> str:
    """A value as a refusal, and the log of it, may show it: not what may be a secret, or hold one."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if SECRET.search(place):
        return "***"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _compile(name: str) -> Callable[[Any], Any]:
    schema = msgspec.json.decode(path_of(name).read_bytes())
    formats = {"uuid": r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z"}
    validate: Callable[[Any], Any] = fastjsonschema.compile(schema, formats=formats, use_default=False)
    return validate
