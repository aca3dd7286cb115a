"""Whole small runs: most are slow, and what they compile alike is compiled once."""

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="module", autouse=True)
def compiled_lightly(daily):
    """These runs compile far longer than they compute, in slow runs too."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", daily)


FAST = {"benchmark", "sprites"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what needs a whole run of any other experiment."""
    for item in items:
        if "finished" in item.fixturenames and item.path.stem.removeprefix("test_") not in FAST:
            item.add_marker(pytest.mark.slow)
