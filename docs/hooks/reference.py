"""Writes the reference: a page for each room of the library, with every name of its `__all__`."""

import ast
import importlib
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@cache
def rooms() -> list[str]:
    """The modules that have public names, such as "jaxgen.diffusion"."""
    found = []
    for file in sorted((REPOSITORY / "jaxgen").rglob("__init__.py")):
        names = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Assign)]
        if any(target.id == "__all__" for node in names for target in node.targets if isinstance(target, ast.Name)):
            found.append(".".join(file.relative_to(REPOSITORY).parent.parts))
    return found


def public_names(room: str) -> list[str]:
    """The names of a room, without the rooms within it, whose pages are their own."""
    module = importlib.import_module(room)
    return [name for name in sorted(module.__all__, key=str.lower) if f"{room}.{name}" not in rooms()]


def room_page(room: str) -> str:
    """A page of Markdown with an entry for each name."""
    summary = importlib.import_module(room).__doc__ or ""
    entries = [f"::: {room}.{name}" for name in public_names(room) if not name.startswith("__")]
    return "\n\n".join([f"# {room}", summary, *entries]) + "\n"


def on_files(files, config, **_):
    """Add the pages of the reference, and list them in the navigation."""
    from mkdocs.structure.files import File  # here, so that tests read the pages without mkdocs

    pages = {f"reference/{room}.md": room_page(room) for room in rooms()}
    summaries = {room: (importlib.import_module(room).__doc__ or "").splitlines()[0] for room in rooms()}
    table = "\n".join(f"| [`{room}`]({room}.md) | {summary} |" for room, summary in summaries.items())
    pages["reference/index.md"] = f"# Reference\n\n| room | contents |\n|---|---|\n{table}\n"
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    reference = next(entry for entry in config.nav if "Reference" in entry)
    reference["Reference"] = list(pages)[-1:] + list(pages)[:-1]
    return files
