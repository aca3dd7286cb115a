"""A report from a Markdown template: Jinja fills in numbers, figures and tables, and Markdown becomes HTML."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

from jaxgen.report.encoding import EncodedFigure, encode_figure
from jaxgen.report.numbers import format_value
from jaxgen.report.tables import Table

FINDINGS = "What was found"

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_SPECIAL = re.compile(r"([\\`*_\[\]<>&|])")
# Private-use characters mark where a figure, a table or a reference stands until Markdown has become HTML.
_BLOCK, _REFERENCE = "\ue000", "\ue001"
PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Section(NamedTuple):
    """A part of a report: its heading (HTML; None before the first) and its body (HTML)."""

    heading: Markup | None
    body: Markup


class Rendered(NamedTuple):
    """A template's sections, the findings as HTML, and the figures by name, in the order in which they are shown."""

    sections: list[Section]
    findings: list[Markup]
    figures: dict[str, EncodedFigure]


def render_template(
    source: str,
    *,
    figures: Mapping[str, Figure | bytes],
    tables: Mapping[str, Table],
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> Rendered:
    """Fill in a Markdown template and convert it to HTML.

    Args:
        source: Markdown with Jinja's tags; see `write_report`.
        figures: matplotlib figures, or the bytes of a PNG or GIF, by name.
        tables: tables by name.
        values: what the template may use, by name.
        filters: Jinja filters beside those of `write_report`.

    Returns:
        The sections, the findings and the figures in order.

    Raises:
        ValueError: if the template shows a figure or table that was not given, or shows one twice, or does not show
            one that was given; if a name is not plain; or if bytes are no PNG or GIF.
        jinja2.TemplateError: if the template is malformed or uses a value that was not given.
    """
    for name in figures:
        if not re.fullmatch(r"\w[\w-]*", name):
            raise ValueError(f"a figure's name is letters, digits, '_' and '-', got {name!r}")
    shown: dict[str, tuple[str, Markup]] = {}  # name -> label, HTML
    encoded = {name: encode_figure(image) for name, image in figures.items()}

    def place(
        kind: str, known: Mapping[str, Any], name: str, caption: str | None = None, caller: Callable | None = None
    ) -> Markup:
        if name not in known:
            raise ValueError(f"the template shows the {kind} {name!r}, which was not given: there are {list(known)}")
        if name in shown:
            raise ValueError(f"the template shows {name!r} twice")
        text = caller() if caller is not None else caption or ""
        number = sum(label.startswith(kind.capitalize()) for label, _ in shown.values()) + 1
        label = f"{kind.capitalize()} {number}"
        html = PAGES.get_template(f"{kind}.html.jinja").render(
            name=name, label=label, caption=_inline(text), alt=_inline(text).striptags(), shown=known[name]
        )
        shown[name] = label, Markup(html)
        return Markup(f"\n\n{_BLOCK}{name}{_BLOCK}\n\n")

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_escape_markdown
    )
    environment.filters.update({**FILTERS, **(filters or {})})
    environment.globals.update(
        figure=partial(place, "figure", encoded),
        table=partial(place, "table", tables),
        ref=lambda name: Markup(f"{_REFERENCE}{name}{_REFERENCE}"),
    )
    text = environment.from_string(source).render(**values)
    if unused := [name for name in (*figures, *tables) if name not in shown]:
        raise ValueError(f"the template does not show {unused}")

    def label_of(reference: re.Match) -> str:
        if (name := reference[1]) not in shown:
            raise ValueError(f"the template refers to {name!r}, which it does not show: it shows {list(shown)}")
        return shown[name][0]

    def resolved(html: str) -> Markup:
        html = re.sub(f"<p>{_BLOCK}([^{_BLOCK}]*){_BLOCK}</p>", lambda found: shown[found[1]][1], html)
        return Markup(re.sub(f"{_REFERENCE}([^{_REFERENCE}]*){_REFERENCE}", label_of, html))

    sections = [Section(heading and resolved(heading), resolved(body)) for heading, body in _sections(text)]
    found = next((body for heading, body in sections if heading == FINDINGS), "")
    findings = [Markup(item) for item in re.findall(r"(?s)<li>\s*(?:<p>)?(.*?)(?:</p>)?\s*</li>", found)]
    return Rendered(sections, findings, {name: encoded[name] for name in shown if name in encoded})


def _sections(text: str) -> list[tuple[str | None, str]]:
    """Split Markdown at its headings of level 2: the heading and the body of each part, as HTML."""
    tokens = _MARKDOWN.parse(text)
    borders = [i for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    borders.append(len(tokens))
    parts: list[tuple[str | None, str]] = []
    if borders[0]:
        parts.append((None, _html(tokens[: borders[0]])))
    for start, stop in pairwise(borders):
        parts.append((_inline(tokens[start + 1].content), _html(tokens[start + 3 : stop])))
    return parts


def _html(tokens: Sequence[Any]) -> str:
    return _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})


def _inline(text: str) -> Markup:
    return Markup(_MARKDOWN.renderInline(" ".join(text.split())))


PAGES.filters["inline"] = _inline


def _escape_markdown(value: Any) -> Any:
    """Make a value stand as written in Markdown; what is Markup already is Markdown."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return Markup(_SPECIAL.sub(r"\\\1", value))
    return value


def percent(value: Any, decimals: int = 0) -> str:
    """Format a share as a percentage; a (mean, error) pair as mean ± error."""
    if isinstance(value, tuple):
        return f"{format_value((100 * value[0], 100 * value[1]))} %"
    return f"{100 * value:.{decimals}f} %".replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """Format a difference with its sign; a (mean, error) pair as ±mean ± error."""
    positive = (value[0] if isinstance(value, tuple) else value) > 0
    return ("+" if positive else "") + format_value(value, digits)


def listed(values: Sequence[Any], last: str = "and") -> str:
    """Join texts as in a sentence: a, b and c."""
    texts = [str(value) for value in values]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def code(value: Any) -> Markup:
    """Format a text as code."""
    fence = "``" if "`" in str(value) else "`"
    return Markup(f"{fence}{value}{fence}")


FILTERS = {"short": format_value, "percent": percent, "signed": signed, "listed": listed, "code": code}
