"""What is checked of every report."""

import json
import re


def metrics_of(run, words, figures=None):
    """The metrics of a finished run, whose page stands alone and has these words, and these files of figures."""
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert [word for word in words if word not in page] == []
    if figures is not None:
        assert {file.name for file in (run / "figures").iterdir()} == set(figures.split())
    return json.loads((run / "metrics.json").read_text())
