"""All exercises: the list of them, README's table, the form of their folders, and their texts."""

import importlib
import re
from pathlib import Path

import jinja2
import jinja2.meta
import pytest

from experiments import __main__ as listing
from experiments.kit.exercise import all_exercises
from experiments.kit.wording import FILTERS as KIT_FILTERS
from jaxgen.report.template import FILTERS

ROOT = Path(__file__).parents[2]
NAMES = [exercise.name for exercise in all_exercises()]


def test_all_are_listed(capsys):
    listing.main()
    printed = capsys.readouterr().out
    for exercise in all_exercises():
        assert f"\n{exercise.name}\n" in printed
        assert all((exercise.title, exercise.question, exercise.paper, exercise.minutes, exercise.shows))


def test_the_readme_has_a_row_for_each():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_story_is_short_and_measuring_drawing_and_telling_are_three_files(name):
    folder = ROOT / "experiments" / name
    assert len((folder / "__main__.py").read_text().splitlines()) < 80
    for file in folder.glob("measure*.py"):
        text = file.read_text()
        assert "image_grid" not in text
        assert "curves(" not in text
    assert (folder / "config.py").is_file()
    assert "{% call figure" in (folder / "report.md").read_text() or "{{ figure(" in (folder / "report.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_text_uses_what_it_is_given(name):
    """A branch that no run has taken yet could otherwise name a value that is not there."""
    source = (ROOT / "experiments" / name / "report.md").read_text()
    environment = jinja2.Environment()
    environment.filters.update(FILTERS | KIT_FILTERS)
    used = jinja2.meta.find_undeclared_variables(environment.parse(source))
    measured = importlib.import_module(f"experiments.{name}.measure").Measured
    assert used <= {*measured._fields, "config", "verdict", "figure", "table", "ref", "caller"}
