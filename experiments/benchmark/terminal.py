"""Tables on the terminal."""

from rich.console import Console
from rich.table import Table as Printed

from jaxgen.report import Table


def show(title: str, table: Table) -> None:
    """Print a table."""
    printed = Printed(title=title, title_justify="left")
    for cell in table.header:
        printed.add_column(cell.text, justify="right" if cell.number else "left")
    for row in table.rows:
        printed.add_row(*(cell.text for cell in row))
    console = Console()
    # a pipe or a log file has no width of its own
    (console if console.is_terminal else Console(width=150)).print(printed)
