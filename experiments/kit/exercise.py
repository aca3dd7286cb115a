"""What an exercise is about, for its report and for the list of all exercises."""

import importlib
import pkgutil
from dataclasses import dataclass

import experiments


@dataclass(frozen=True)
class Exercise:
    """An exercise: `python -m experiments.NAME`.

    Attributes:
        name: name of its folder.
        title: title of its report.
        question: what it asks, one sentence.
        paper: the papers that it follows.
        minutes: minutes of the default preset on two cores, such as "7" or "15 to 20".
        shows: what its report shows, a few words.
    """

    name: str
    title: str
    question: str
    paper: str
    minutes: str
    shows: str


def all_exercises() -> list[Exercise]:
    """All exercises, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__) if module.ispkg)
    modules = [importlib.import_module(f"experiments.{name}") for name in names if name != "kit"]
    return [module.EXERCISE for module in modules]
