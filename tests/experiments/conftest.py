"""Whole small runs: most are slow, and what they compile alike is compiled once."""

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    yield
    jax.config.update("jax_compilation_cache_dir", None)


# The others' whole runs are in every test run: one of each kind of report.
SLOW = {"beta_vae", "captcha", "controllable", "es_ddpm", "improved_ddpm", "ncsn", "variational", "vdm"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what needs a whole run of a slow experiment."""
    for item in items:
        if "finished" in item.fixturenames and item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)
