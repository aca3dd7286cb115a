"""The report of a run: one HTML file with everything in it, and the same results as files."""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import jinja2
from matplotlib.figure import Figure

from jaxgen.core import write_atomically
from jaxgen.report import markup
from jaxgen.report.encoding import encode_figure
from jaxgen.report.numbers import duration
from jaxgen.report.page import flat_settings
from jaxgen.report.records import to_jsonable, write_json
from jaxgen.report.runs import describe_environment
from jaxgen.report.tables import Format, table

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(inline=markup.inline, paragraphs=markup.paragraphs)


class Report:
    """The figures, tables and texts of a run in order, which `save` writes as one HTML page.

    Put results that other programs read into the dict `metrics`. Texts may contain **strong**, *emphasis* and `code`;
    everything else is shown as written.

    Args:
        title: title of the page.
        question: what the run asks.
        command: the command that reproduces it.
        config: its settings, a dataclass or mapping.

    Raises:
        TypeError: if JSON cannot hold the settings.

    Example:
        ```python
        report = Report("Sprites", "Is DDIM as good as DDPM?", "python -m experiments.sprites", config)
        report.figure(image_grid(samples), "samples", "Samples of DDIM.")
        report.metrics["frechet"] = 4.6
        report.save("runs/sprites")
        ```
    """

    def __init__(self, title: str, question: str, command: str, config: Any = None):
        self.metrics: dict[str, Any] = {}
        self._title, self._question, self._command = title, question, command
        self._config = to_jsonable(config, "config")
        self._blocks: list[dict[str, Any]] = []
        self._findings: list[str] = []
        self._files: dict[str, bytes] = {}
        self._tables = 0
        self._started = time.perf_counter()

    def section(self, title: str) -> None:
        """Begin a section.

        Args:
            title: heading of the section.
        """
        self._blocks.append({"kind": "section", "title": title})

    def text(self, text: str) -> None:
        """Add paragraphs.

        Args:
            text: the paragraphs, separated by empty lines.
        """
        self._blocks.append({"kind": "text", "text": text})

    def finding(self, text: str) -> None:
        """Add a finding to the box "What was found" below the question.

        Args:
            text: the finding, one sentence.
        """
        self._findings.append(text)

    def figure(self, image: Figure | bytes, name: str, caption: str) -> str:
        """Add a figure.

        Args:
            image: a matplotlib figure, or the bytes of a PNG or GIF.
            name: file name without suffix: letters, digits, '_' and '-'. The file is saved in figures/.
            caption: text below the figure.

        Returns:
            The label of the figure, such as "Figure 3".

        Raises:
            ValueError: if the name is taken or not plain, or the bytes are no PNG or GIF.
        """
        if not re.fullmatch(r"\w[\w-]*", name):
            raise ValueError(f"a figure's name is letters, digits, '_' and '-', got {name!r}")
        if name in (Path(file).stem for file in self._files):
            raise ValueError(f"there is a figure {name!r} already: choose another name")
        content, kind, size, look = encode_figure(image)
        self._files[f"{name}.{kind}"] = content
        label = f"Figure {len(self._files)}"
        source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        self._blocks.append(
            {"kind": "figure", "label": label, "caption": caption, "source": source, "size": size, "look": look}
        )
        return label

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        caption: str,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        *,
        formats: Mapping[str, Format] | None = None,
        best: Mapping[str, str] | None = None,
        digits: int = 3,
    ) -> str:
        """Add a table.

        Args:
            rows: rows {column: value}; the remaining arguments are those of `jaxgen.report.table`.
            caption: text above the table.
            columns: columns to show, in order, or {column: title}.
            formats: formats by column.
            best: {column: "min" or "max"}, set in bold.
            digits: significant digits.

        Returns:
            The label of the table, such as "Table 2".

        Raises:
            ValueError: as `jaxgen.report.table` does.
        """
        laid_out = table(rows, columns, formats=formats, best=best, digits=digits)
        self._tables += 1
        label = f"Table {self._tables}"
        self._blocks.append({"kind": "table", "label": label, "caption": caption, "table": laid_out})
        return label

    def save(self, directory: Path | str) -> Path:
        """Write report.html, metrics.json, config.json and figures/ into a directory.

        Each file is written atomically, and the report last. Of several processes only the first writes.

        Args:
            directory: created if needed.

        Returns:
            The path of the report.

        Raises:
            TypeError: if JSON cannot hold the metrics.
        """
        directory = Path(directory)
        if jax.process_index():
            return directory / "report.html"
        facts = {
            **describe_environment(),
            "duration": duration(time.perf_counter() - self._started),
            "finished": datetime.now().strftime("%Y-%m-%d %H:%M"),
        }
        page = _TEMPLATES.get_template("report.html.jinja").render(
            title=self._title,
            question=self._question,
            findings=self._findings,
            blocks=self._blocks,
            command=self._command,
            facts=facts,
            config=flat_settings(self._config),
        )
        write_json(directory / "metrics.json", self.metrics)
        write_json(directory / "config.json", self._config)
        for name, content in self._files.items():
            write_atomically(directory / "figures" / name, lambda file, content=content: file.write(content))
        write_atomically(directory / "report.html", lambda file: file.write(page.encode()))
        return directory / "report.html"
