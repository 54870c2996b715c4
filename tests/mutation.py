"""Small changes of texts and bytes, from a seed: what a slip or an attacker makes of them."""

from __future__ import annotations

import random
import re
from typing import Any

# Values that mean something else than they seem to, or too much.
VALUES = (
    *("2026-01-01", "12:30:45", "!!int x", "!!int ''", "!!timestamp x", "!!float x", "!!bool x"),
    *("!!binary x", "!!set {a}", "!!python/object:os.system {}", "!x y", "1e309", ".nan", ".inf"),
    *("-1", "0", "1.5", "1e300", "1e-300", "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 400),
    *("''", "' '", "~", "[]", "{}", "[[]]", "{a: {b: c}}", "true", "a:b", ":", ":x", "..x:Y"),
    *(".:Y", "os:", "os:path", "numpy:ndarray", "auricle.engine.node:Source", "'a\\0b'", '"\\0"'),
    *('"\\ud800"', '"\\x1b[31m"', "[" * 900 + "]" * 900, "{a: " * 300 + "}" * 300, "&a [*a]"),
    *("*a", "? y", "'", '"', "%", "@", "é", "a" * 10000, "- a", "<<: 1", "{<<: 1}", "{1: 2}"),
    *("{[1]: 2}", "{~: 2}", "1 # x", "/dev/zero", "file:///dev/zero", "mic:", "-:1,1,x", ".", ".."),
    "zmq:ipc:///etc/passwd",
)


def mutated_text(rng: random.Random, text: str) -> str:
    """A text in YAML or JSON with one to three changes: of values, lines and characters."""
    lines = text.splitlines()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0 | 1 | 2:
                lines[at] = _with_other_value(rng, lines[at])
            case 3:
                lines[at] = ""
            case 4:
                lines.insert(at, rng.choice(lines))
            case _:
                place = rng.randrange(len(lines[at]) + 1)
                other = rng.choice(["", "\t", chr(rng.randrange(1, 0x300)), rng.choice(VALUES)])
                lines[at] = lines[at][:place] + other + lines[at][place + 1 :]
    return "\n".join(lines)


def _with_other_value(rng: random.Random, line: str) -> str:
    value = r"[:,\[{]\s+([^,\[\]{}]+|\[[^\[\]]*\])(?=[,\]}]|$)"
    places = [found.span(1) for found in re.finditer(value, line)] or [(0, len(line))]
    first, last = rng.choice(places)
    return line[:first] + rng.choice(VALUES) + line[last:]


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to four changes: other bits, bytes left out, put in, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.choice([1, 2, 8, 100])]
            case 2:
                changed[at:at] = rng.randbytes(rng.choice([1, 2, 8, 100]))
            case 3:
                changed[at:at] = changed[at : at + 100]
            case _:
                del changed[at + rng.randrange(len(changed) - at + 1) :]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


# What may stand in JSON where something else belongs.
JSON_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, 10**6, 10**30, "", ".", "..", "a\0b", "/dev/zero", "\x1b[31m"),
    *([], [[]], [None], [-1], [10**6, 10**6, 10**6], [0], ["a", "a"], {}, {"a": {}}, "x" * 10_000),
)


def mutated_json(rng: random.Random, content: Any) -> Any:
    """A value of JSON in which one part is left out, added or replaced."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = rng.choice(list(content))
        changed = {**content, key: mutated_json(rng, content[key])}
        if rng.random() < 0.1:
            del changed[key]
        return changed
    if isinstance(content, list) and content and rng.random() < 0.7:
        at = rng.randrange(len(content))
        rest = content[at + rng.choice([0, 1, 1, 1]) :]
        return [*content[:at], mutated_json(rng, content[at]), *rest]
    return rng.choice(JSON_VALUES)
