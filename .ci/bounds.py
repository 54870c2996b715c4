"""Print constraints that hold every package to the oldest version that setup.py allows.

Example: python .ci/bounds.py test > oldest.txt && pip install -e '.[test]' -c oldest.txt
"""

import ast
import re
import sys
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.py"


def requirements(extras: list[str]) -> list[str]:
    """What setup.py asks for: always, and with some of its extras."""
    values = {}
    for node in ast.parse(SETUP.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"CORE", "EXTRAS"}:
            values[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
    found: list[str] = list(values["CORE"])
    for extra in extras:
        found += values["EXTRAS"][extra]
    return found


def oldest(requirement: str) -> str:
    """A requirement's lower bound as the only version: `av>=14,<20` becomes `av==14`."""
    match = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)(,<[\w.]+)?", requirement)
    if not match:
        raise SystemExit(f"setup.py: {requirement!r} has no lower bound of the form name>=version")
    return f"{match[1]}=={match[2]}"


if __name__ == "__main__":
    print(*sorted({oldest(requirement) for requirement in requirements(sys.argv[1:])}), sep="\n")
