"""`write_report`: the self-contained HTML page of a run, and the same results as files."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

from jaxgen.core import write_atomically
from jaxgen.report.numbers import duration
from jaxgen.report.records import to_jsonable, write_json
from jaxgen.report.runs import describe_environment
from jaxgen.report.tables import Table
from jaxgen.report.template import FINDINGS, PAGES, render_template


def write_report(
    directory: Path | str,
    template: Path | str,
    *,
    title: str,
    question: str = "",
    figures: Mapping[str, Figure | bytes] | None = None,
    tables: Mapping[str, Table] | None = None,
    values: Mapping[str, Any] | None = None,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    metrics: Any = None,
    config: Any = None,
    command: str = "",
    seconds: float | int | None = None,
) -> Path:
    """Write report.html, metrics.json, config.json, summary.json and figures/ into a directory.

    The template is Markdown with Jinja's tags. In it,

    * `{{ figure("loss", "A caption.") }}` shows a figure, and so does `{% call figure("loss") %}` with a longer caption
      in Markdown before `{% endcall %}`; `table` shows a table likewise;
    * `{{ ref("loss") }}` is the label of a figure or table, such as "Figure 3";
    * `{{ x | short }}` is a number in three digits, `{{ x | percent }}` a share, `{{ x | signed }}` a difference,
      `{{ names | listed }}` an enumeration and `{{ text | code }}` a text as code. A (mean, error) pair becomes
      mean ± error;
    * the list of the section "What was found" is set in a box.

    Values stand as written: only the template itself is Markdown. Each file is written atomically, and the report last.
    Of several processes only the first writes.

    Args:
        directory: created if needed.
        template: a file, or the template itself.
        title: title of the page.
        question: what the run asks.
        figures: matplotlib figures, or the bytes of a PNG or GIF, by name: letters, digits, '_' and '-'. They are saved
            in figures/.
        tables: tables by name, as `jaxgen.report.table` makes them.
        values: what the template may use, by name.
        filters: further filters and functions for the template.
        metrics: results for other programs, which metrics.json holds.
        config: the run's settings, a dataclass or mapping.
        command: the command that reproduces the run.
        seconds: the run's duration.

    Returns:
        The path of the report.

    Raises:
        TypeError: if JSON cannot hold the metrics or settings.
        ValueError: if the template shows what was not given, or does not show what was; if a figure's name is not plain
            or its bytes are no PNG or GIF.
        jinja2.TemplateError: if the template is malformed or uses a value that was not given.
        OSError: if a file cannot be written.

    Example:
        ```python
        write_report(
            "runs/sprites", "{{ figure('samples', 'Samples of DDIM.') }} Their distance is {{ frechet | short }}.",
            title="Sprites", figures={"samples": image_grid(samples)}, values={"frechet": 4.6},
        )
        ```
    """
    directory = Path(directory)
    if jax.process_index():
        return directory / "report.html"
    config = to_jsonable({} if config is None else config, "config")
    source = template.read_text() if isinstance(template, Path) else template
    rendered = render_template(source, figures=figures or {}, tables=tables or {}, values=values or {}, filters=filters)
    facts = describe_environment() | ({} if seconds is None else {"duration": duration(seconds)})
    facts["finished"] = datetime.now().strftime("%Y-%m-%d %H:%M")
    page = PAGES.get_template("page.html.jinja").render(
        title=title,
        question=question,
        sections=rendered.sections,
        findings=FINDINGS,
        command=command,
        facts=facts,
        config=flat_settings(config),
    )
    files = {f"{name}.{figure.kind}": figure.content for name, figure in rendered.figures.items()}
    summary = {"title": title, "question": question, "findings": rendered.findings, "figures": list(files), **facts}
    write_json(directory / "metrics.json", {} if metrics is None else metrics)
    write_json(directory / "config.json", config)
    for name, content in files.items():
        write_atomically(directory / "figures" / name, lambda file, content=content: file.write(content))
    write_json(directory / "summary.json", summary)
    write_atomically(directory / "report.html", lambda file: file.write(page.encode()))
    return directory / "report.html"


def flat_settings(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to names such as "optimizer.learning_rate"."""
    if not isinstance(config, Mapping):
        return {prefix: config} if prefix else {}
    return {
        key: value
        for name, item in config.items()
        for key, value in flat_settings(item, f"{prefix}.{name}".strip(".")).items()
    }
