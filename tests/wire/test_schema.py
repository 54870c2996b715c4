"""The JSON Schema and the tables of the page are those of the types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec
import pytest

from auricle.wire.codec import encode
from auricle.wire.messages import BY_NAME, Message
from auricle.wire.schema import SCHEMA, json_schema, with_tables
from tests.conftest import ROOT
from tests.wire.samples import EVERY, sent

PAGE = (ROOT / "docs/wire.md").read_text(encoding="utf-8")
EXAMPLES = [
    json.loads(line)
    for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for line in re.split(r"\n(?=\{)", block.strip())
]


def test_the_schema_is_that_of_the_types() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json.loads(json.dumps(json_schema()))


def test_the_tables_are_those_of_the_types() -> None:
    assert with_tables(PAGE) == PAGE
    assert PAGE.count("<!-- fields of ") == len(BY_NAME) + 4


@pytest.mark.parametrize("maker", EVERY)
def test_the_schema_names_every_field_that_is_sent(maker: Callable[[], Message]) -> None:
    message = sent(maker())
    definition = json_schema()["$defs"][type(message).__name__]
    content = msgspec.msgpack.decode(encode(message)[1])
    assert content.keys() == definition["properties"].keys()
    assert set(definition["required"]) <= content.keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_page_are_of_this_version(example: dict[str, object]) -> None:
    assert example["v"] == 2
    if "type" in example:
        msgspec.convert(example, BY_NAME[str(example["type"])])
