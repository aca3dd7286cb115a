"""A report that keeps what is shown and said and draws no page, and what is checked of every page."""

import json
import re


class Shown:
    """Stands in for `jaxgen.report.Report`: metrics, captions by figure, rows and caption of each table, findings."""

    def __init__(self):
        self.metrics, self.captions, self.tables, self.findings = {}, {}, [], []

    def figure(self, image, name, caption):
        self.captions[name] = caption

    def table(self, rows, caption, **options):
        self.tables.append((rows, caption))

    def finding(self, text):
        self.findings.append(text)


def metrics_of(run, words, figures=None):
    """The metrics of a finished run, whose page stands alone and has these words, and these files of figures."""
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert [word for word in words if word not in page] == []
    if figures is not None:
        assert {file.name for file in (run / "figures").iterdir()} == set(figures.split())
    return json.loads((run / "metrics.json").read_text())
