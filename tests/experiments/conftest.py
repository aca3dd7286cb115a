"""Whole small runs: most are slow, and what they compile alike is compiled once."""

import importlib
from dataclasses import replace

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def compiled_lightly(daily):
    """These runs compile far longer than they compute, in slow runs too."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", daily)


@pytest.fixture(scope="module")
def finished(request, tmp_path_factory):
    """The directory of a whole smoke run of the experiment that the test file is named after."""
    name = request.path.stem.removeprefix("test_")
    experiment = importlib.import_module(f"experiments.{name}.__main__")
    root = tmp_path_factory.mktemp("runs")
    config = replace(experiment.PRESETS["smoke"], runs=root, progress=False)
    with jax.enable_x64(False):
        experiment.main(config)
    (directory,) = (root / name).iterdir()
    return directory


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what needs a whole run of an experiment."""
    for item in items:
        if "finished" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
