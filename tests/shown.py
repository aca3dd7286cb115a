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


def assert_same_results(ours, theirs):
    """Two runs have the same metrics and the same figures, byte for byte."""
    figures = {file.name for file in (theirs / "figures").iterdir()}
    assert {file.name for file in (ours / "figures").iterdir()} == figures
    for name in ("metrics.json", *(f"figures/{figure}" for figure in figures)):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
