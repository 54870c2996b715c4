"""Draw the terminal of `auricle run demo --listen` as `docs/_static/terminal.svg`.

The command runs in a real terminal (tmux, which has to be installed) of 90 columns; what is on its
screen some seconds before the end is drawn by rich. Run it from the root of a checkout:

    python docs/draw_terminal.py [SECONDS]
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, ROWS = 90, 26
SESSION = "auricle-picture"
FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"


def screen(command: str, seconds: float) -> str:
    """What is on the screen, with its colours as escape sequences, so long after the first line."""
    environment = {**os.environ, "TERM": "xterm-256color"}
    tmux = ["tmux", "-L", SESSION]
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    subprocess.run(
        [*tmux, "new-session", "-d", *size, command], check=True, env=environment, cwd=ROOT
    )
    try:
        while not (shown := captured(tmux)).strip():
            time.sleep(0.1)
        time.sleep(seconds)
        shown = captured(tmux)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    return shown.rstrip("\n")


def captured(tmux: list[str]) -> str:
    """The screen as it is now."""
    done = subprocess.run(
        [*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True
    )
    return done.stdout


def picture(title: str, text: str) -> str:
    """An SVG of a screen, which needs no font from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id="auricle")
    svg = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"Fira Code, monospace|\"?Fira Code\"?", FONT, svg)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def main() -> None:
    """Draw the picture."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    words = "run demo --listen"
    shown = screen(f"{sys.executable} -m auricle {words}", seconds)
    path = ROOT / "docs/_static/terminal.svg"
    path.write_text(picture(f"auricle {words}", shown), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
