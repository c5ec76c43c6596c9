"""The pictures in docs/images, from a demo that ran: ``python scripts/demo_picture.py subnet-demo-<time>``.

Renders the demo's last screen from its record, character by character as a terminal would, with
the font that matplotlib brings, and draws the plot beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.console import Console, Group
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from subnet.demo.checks import Check
from subnet.demo.display import Now, account, live
from subnet.demo.plot import draw
from subnet.demo.record import Record

HERE = Path(__file__).resolve().parents[1]
COLUMNS = 116
SIZE, MARGIN = 22, 24  # pixels
PAPER, INK = "#16181d", "#d8dade"


def main(folder: Path) -> None:
    data = json.loads((folder / "demo.json").read_text())
    record = msgspec.convert(data["record"], Record, strict=False)
    checks = msgspec.convert(data["checks"], list[Check])
    places = {what: Path(folder.name) / Path(path).name for what, path in data["places"].items()}
    last = record.epochs[-1]
    now = Now(block=last.block, epoch_start=last.block, seconds=data["seconds"])
    now.states = {actor.name: "serving" if actor.is_miner else "scoring" for actor in record.actors[1:]}
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True)
    screen = Group(Text("$ subnet demo"), live(record, now, COLUMNS), account(record, checks, places, data["seconds"]))
    images = HERE / "docs" / "images"
    write(console.render_lines(screen, pad=False), images / "demo.png")
    draw(record, images / "demo-plot.png")


def write(lines: list[list[Segment]], path: Path) -> None:
    """The lines as an image, one cell a character."""
    fonts = Path(get_data_path()) / "fonts" / "ttf"
    plain = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), SIZE)
    bold = ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), SIZE)
    width, height = plain.getlength("M"), round(SIZE * 1.25)
    size = (round(COLUMNS * width) + 2 * MARGIN, len(lines) * height + 2 * MARGIN)
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        column = 0
        for text, style, _ in line:
            font = bold if style and style.bold else plain
            for character in text.rstrip("\n"):
                at = (MARGIN + column * width, MARGIN + row * height)
                if character == "█":  # whole cells: a font's own would leave seams
                    pen.rectangle((*at, at[0] + width, at[1] + height * 0.85), fill=colour(style))
                else:
                    pen.text(at, character, font=font, fill=colour(style))
                column += 1
    image.quantize(64).save(path, optimize=True)


def colour(style: Style | None) -> str:
    """A style's foreground as #rrggbb, dimmed where it says so."""
    found = style.color if style and style.color else Color.default()
    rgb = found.get_truecolor(DIMMED_MONOKAI) if not found.is_default else None
    name = f"#{rgb.red:02x}{rgb.green:02x}{rgb.blue:02x}" if rgb else INK
    if style and style.dim:
        name = "#" + "".join(f"{int(name[i : i + 2], 16) * 3 // 4:02x}" for i in (1, 3, 5))
    return name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
