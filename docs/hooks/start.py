"""Makes the start page of README.md, whose links then lead within the site."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def on_page_markdown(markdown: str, page, **_) -> str:
    """Replace the mark in index.md."""
    if page.file.src_uri != "index.md":
        return markdown
    text = README.read_text().removeprefix("# jaxgen\n")
    text = re.sub(r"\]\(docs/", "](", text)
    # files outside the site stand without a link
    text = re.sub(r"\[([^\]]+)\]\((?!http)[A-Z][^)/]*\)", r"`\1`", text)
    return markdown.replace("<!-- readme -->", text)
