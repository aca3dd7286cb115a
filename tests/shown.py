"""What is checked of every report."""

import json
import re
from pathlib import Path

import numpy as np

from experiments.kit.statistics import verdict
from experiments.kit.wording import FILTERS
from jaxgen.report import image_grid
from jaxgen.report.template import render_template


def metrics_of(run, words, figures=None):
    """The metrics of a finished run, whose page stands alone and has these words, and these files of figures."""
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert [word for word in words if word not in page] == []
    if figures is not None:
        assert {file.name for file in (run / "figures").iterdir()} == set(figures.split())
    return json.loads((run / "metrics.json").read_text())


def findings_of(report, config, measured, tables):
    """The findings that the text beside a module report.py makes of what was measured, with empty figures."""
    source = Path(report.__file__).with_name("report.md").read_text()
    picture = image_grid(np.zeros((1, 8, 8, 1)))
    rendered = render_template(
        source,
        figures=dict.fromkeys(re.findall(r'figure\("([\w-]+)"', source), picture),
        tables=tables,
        values={"config": config, "verdict": verdict, **measured._asdict()},
        filters=FILTERS,
    )
    return [" ".join(text.split()) for text in rendered.findings]
