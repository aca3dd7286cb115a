"""Lists the exercises in gallery/index.md, with the pages of their reports."""

from pathlib import Path

from experiments.kit.exercise import all_exercises

GALLERY = Path(__file__).parents[1] / "gallery"


def on_page_markdown(markdown: str, page, **_) -> str:
    """Replace the mark in gallery/index.md by a table."""
    if page.file.src_uri != "gallery/index.md":
        return markdown
    table = "\n".join(["| report | question | papers | minutes |", "|---|---|---|---|", *map(row, all_exercises())])
    return markdown.replace("<!-- exercises -->", table)


def row(exercise) -> str:
    """The row of an exercise."""
    shown = (GALLERY / exercise.name / "index.md").is_file()
    name = f"[{exercise.title}]({exercise.name}/index.md)" if shown else exercise.title
    return f"| {name} (`{exercise.name}`) | {exercise.question} | {exercise.paper} | {exercise.minutes} |"
