"""runs/index.html: all runs with a thumbnail, their questions and what they found."""

import json
from pathlib import Path

import jinja2
from markupsafe import Markup

from jaxgen.core import write_atomically

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def write(root: Path) -> Path:
    """Write the index of the finished runs below a folder, the newest first.

    Args:
        root: the folder of all runs; a run is root/NAME/TIME.

    Returns:
        The path of the index.
    """
    runs = []
    for file in sorted(root.glob("*/*/summary.json"), key=lambda file: file.parent.name, reverse=True):
        try:
            summary = json.loads(file.read_text())
            summary["findings"] = [Markup(finding) for finding in summary["findings"]]
        except (ValueError, KeyError, OSError):  # a damaged summary hides its run, not the others
            continue
        folder = file.parent.relative_to(root).as_posix()
        name, _, time = folder.partition("/")
        runs.append(summary | {"folder": folder, "name": name, "time": time})
    page = _TEMPLATES.get_template("index.html.jinja").render(runs=runs)
    write_atomically(root / "index.html", lambda file: file.write(page.encode()))
    return root / "index.html"
