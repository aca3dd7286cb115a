"""Lists the exercises in gallery/index.md."""

from experiments.kit.exercise import all_exercises


def on_page_markdown(markdown: str, page, **_) -> str:
    """Replace the mark in gallery/index.md by a table."""
    if page.file.src_uri != "gallery/index.md":
        return markdown
    rows = [
        f"| `{exercise.name}` | {exercise.question} | {exercise.paper} | {exercise.minutes} |"
        for exercise in all_exercises()
    ]
    table = "\n".join(["| name | question | papers | minutes |", "|---|---|---|---|", *rows])
    return markdown.replace("<!-- exercises -->", table)
