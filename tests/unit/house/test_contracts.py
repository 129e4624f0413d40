"""The bus's contract as files: schemas/events is what the message classes say, and the AsyncAPI document is sound."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from skybus.bus import schemas
from skybus.bus.message import TYPES, Command, Event, Message, Report
from skybus.cli.setup import write_schemas
from skybus.saga.plans import PLANS

HERE = Path(__file__).parent
MESSAGES = schemas.load_all()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(yaml.safe_load((schemas.FOLDER / "asyncapi.yaml").read_text()))


def test_the_schema_files_are_what_skybus_schemas_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert write_schemas(check=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", MESSAGES)
def test_each_schema_is_a_valid_json_schema_and_has_a_compiled_form(name: str) -> None:
    file = schemas.path_of(name)
    jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text()))
    assert schemas._validator(name) is not None


def test_the_asyncapi_document_is_what_the_specification_asks_for(document: dict[str, Any]) -> None:
    specification = json.loads((HERE / "asyncapi-3.0.0.json").read_text())
    errors = jsonschema.Draft7Validator(specification).iter_errors(document)
    assert [f"{'/'.join(map(str, error.path))}: {error.message[:200]}" for error in errors] == []


def test_every_reference_of_the_asyncapi_document_resolves(document: dict[str, Any]) -> None:
    for reference in _references(document):
        if reference.startswith("#/"):
            at: Any = document
            for part in reference[2:].split("/"):
                at = at[part]
        else:
            assert (schemas.FOLDER / reference).is_file(), reference


def test_every_message_is_in_exactly_one_channel(document: dict[str, Any]) -> None:
    placed = [name for channel in document["channels"].values() for name in channel["messages"]]
    assert sorted(placed) == sorted(document["components"]["messages"]) == sorted(MESSAGES)


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.TYPE)
def test_a_message_class_keeps_the_house_rules(kind: type[Message]) -> None:
    parts = kind.TYPE.split(".")
    assert parts[0] == "skybus"
    assert parts[-1].startswith("v")
    assert kind.__doc__, "says what it tells"
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert not kind.SUBJECT or kind.SUBJECT in fields
    assert set(kind.SECRETS) <= fields
    if issubclass(kind, Command):
        assert kind.ANSWER.TYPE == "" or kind.ANSWER.TYPE in TYPES
        assert parts[2] == "command"
    if issubclass(kind, Report):
        assert "host" in fields, "so that the conductor can hold it to the account that sent it"
    if issubclass(kind, Event):
        assert parts[2] not in ("command", "answer", "report")


def test_the_plans_that_the_gateway_shows_are_the_sagas_that_the_conductor_runs() -> None:
    from skybus_conductor.cloud import Cloud
    from skybus_conductor.sagas import sagas

    # To declare its steps a saga needs nothing of the cloud but the object.
    nothing: dict[str, Any] = {field.name: None for field in dataclasses.fields(Cloud)}
    cloud = Cloud(**nothing)
    declared = {kind: tuple(step.name for step in saga.steps) for kind, saga in sagas(cloud).items()}
    assert declared == dict(PLANS)


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []
