"""A report that keeps what is shown and said, and draws no page."""


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
