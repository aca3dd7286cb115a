"""Makes a page of the gallery of each run given: `python docs/figures/gallery.py runs/sprites/TIME ...`.

A page holds the run's report, its pictures as files of at most 256 colours, and its date, device and duration.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

GALLERY = Path(__file__).parents[1] / "gallery"
FACTS = ("finished", "duration", "device", "jax")


def page(run: Path, folder: Path) -> str:
    """The page of a run as Markdown; its pictures are written to the folder."""
    report = re.search(r"(?s)<main>(.*)</main>", (run / "report.html").read_text())[1]
    summary = json.loads((run / "summary.json").read_text())
    title = re.search(r"<h1>(.*?)</h1>", report)[1]
    report = report.replace(f"<h1>{title}</h1>", "").split("<h2>How to reproduce this</h2>")
    sources = iter(summary["figures"])
    body = re.sub(r'src="data:[^"]*"', lambda _: f'src="{picture(run / "figures" / next(sources), folder)}"', report[0])
    # headings in Markdown are listed in the table of contents; the rest stays as it is
    parts = re.split(r"<h2>(.*?)</h2>", re.sub(r"</?section[^>]*>", "", body))
    parts = [re.sub(r"\n\s*\n", "\n", part).strip() for part in parts]  # a blank line would end a block of HTML
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    sections = [parts[0], *(f"## {heading}\n\n<div>\n{text}\n</div>" for heading, text in pairs)]
    # the flags that no result depends on are left out
    command = re.sub(r" --(runs \S+|no-progress)", "", re.search(r"(?s)<code>(.*?)</code>", report[1])[1])
    facts = ", ".join(f"{name} {summary[name]}" for name in FACTS if name in summary)
    text = "\n\n".join(sections)
    return (
        f"# {title}\n\n{text}\n\n## How to reproduce this\n\n```sh\n{command}\n```\n\n{facts[0].upper()}{facts[1:]}.\n"
    )


def picture(file: Path, folder: Path) -> str:
    """Write a picture into the folder, with at most 256 colours where that is smaller; return its name."""
    target = folder / file.name
    shutil.copyfile(file, target)
    if file.suffix == ".png":
        reduced = folder / "reduced.png"
        Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(reduced, optimize=True)
        if reduced.stat().st_size < target.stat().st_size:
            reduced.replace(target)
        reduced.unlink(missing_ok=True)
    return file.name


def main() -> None:
    """Write the pages."""
    for run in map(Path, sys.argv[1:]):
        folder = GALLERY / run.parent.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "index.md").write_text(page(run, folder))


if __name__ == "__main__":
    main()
