"""The fenced blocks of a page, with what the comment above each says of it.

A page is Markdown. Blocks of `sh` and `python` are run in the order of the page, in one folder;
blocks of `yaml` are checked. A comment in the line above a block changes that:

- `<!-- not run: REASON -->`: it is not run; its commands are parsed all the same.
- `<!-- run beside: COMMAND -->`: it is run while COMMAND is running.
- `<!-- run until it prints, beside: COMMAND -->`: the same, and it is stopped at its first line.
- `<!-- output -->`: a block of text that the block before it prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

COMMENT = re.compile(r"<!-- ([a-z, ]+?)(?:: (.*))? -->")
FENCE = "```"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Path of its page, from the root of the repository.
        line: Number of the line with the fence.
        language: Word behind the fence.
        mark: What the comment above it says: `not run`, `run beside` and so on.
        what: The rest of the comment.
        text: Its lines.
    """

    page: str
    line: int
    language: str
    mark: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """The pages with examples, from the root of the repository."""
    top = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
    names = [path.relative_to(ROOT) for path in [*top, *sorted((ROOT / "docs").rglob("*.md"))]]
    return [str(name) for name in names if not {"generated", "_build"} & set(name.parts)]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found = []
    number = 0
    while number < len(lines):
        if not lines[number].startswith(FENCE):
            number += 1
            continue
        comment = COMMENT.fullmatch(lines[number - 1]) if number else None
        mark, what = comment.groups(default="") if comment else ("", "")
        end = lines.index(FENCE, number + 1)
        text = "".join(f"{line}\n" for line in lines[number + 1 : end])
        language = lines[number].removeprefix(FENCE)
        found.append(Block(page, number + 1, language, mark, what, text))
        number = end + 1
    return found
