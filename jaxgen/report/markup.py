"""The markup of a report's texts: paragraphs, **strong**, *emphasis* and `code`."""

import re

from markupsafe import Markup, escape

_SPAN = re.compile(r"`([^`]+)`|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])\*(\S(?:.*?\S)?)\*(?![\w*])", re.DOTALL)


def inline(text: str) -> Markup:
    """Convert one line of text to safe HTML."""
    pieces, end = [], 0
    for span in _SPAN.finditer(text):
        tag = ("code", "strong", "em")[span.lastindex - 1]
        content = escape(span[1]) if tag == "code" else inline(span[span.lastindex])
        pieces += [text[end : span.start()], Markup(f"<{tag}>{content}</{tag}>")]
        end = span.end()
    return Markup().join([*pieces, text[end:]])  # join escapes what is not Markup


def paragraphs(text: str) -> list[Markup]:
    """Convert a text to paragraphs of safe HTML, separated by empty lines."""
    return [inline(" ".join(block.split())) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
