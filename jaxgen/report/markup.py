"""The little mark-up of a report's texts: paragraphs, **strong**, *emphasis* and `code`, all else as written."""

import re

from markupsafe import Markup, escape

_SPAN = re.compile(r"`([^`]+)`|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])\*(\S(?:.*?\S)?)\*(?![\w*])", re.DOTALL)


def inline(text: str) -> Markup:
    """Returns one line of text as safe HTML."""
    pieces, end = [], 0
    for span in _SPAN.finditer(text):
        tag = ("code", "strong", "em")[span.lastindex - 1]
        content = escape(span[1]) if tag == "code" else inline(span[span.lastindex])
        pieces += [text[end : span.start()], Markup(f"<{tag}>{content}</{tag}>")]
        end = span.end()
    return Markup().join([*pieces, text[end:]])  # which escapes whatever is no Markup


def paragraphs(text: str) -> list[Markup]:
    """Returns the paragraphs of a text, which empty lines separate, as safe HTML."""
    return [inline(" ".join(block.split())) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
