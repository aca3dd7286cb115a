"""Eight CPU devices stand in for an accelerator host, so pmap and sharding are tested everywhere."""

import os
import shutil
from pathlib import Path

import jax
import jaxtyping
import pytest
from hypothesis import settings

MOST_MEMORY = 1.5e9  # of a process, above which compiled programs are forgotten

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)


settings.register_profile("daily", deadline=None, max_examples=15)
settings.register_profile("nightly", deadline=None, max_examples=60)


def pytest_configure(config):
    """Hypothesis draws fewer examples by day; a test's own `max_examples` comes before this one."""
    settings.load_profile("daily" if config.option.markexpr == "not slow" else "nightly")


@pytest.fixture(scope="session", autouse=True)
def daily(request):
    """Tests compile longer than they compute: the daily run does so lightly, `-m slow` and `-m ""` as users do."""
    daily = request.config.option.markexpr == "not slow"
    jax.config.update("jax_disable_most_optimizations", daily)
    return daily


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Programs that tests of a session compile alike are compiled once; a directory each, for writes are not atomic."""
    directory = tmp_path_factory.mktemp("compiled")
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    yield
    jax.config.update("jax_compilation_cache_dir", None)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """chex's variants with and without a device are compiled again for little: jit, no jit and pmap are always run."""
    for item in items:
        if item.name.endswith(("__with_device", "__without_device")):
            item.add_marker(pytest.mark.slow)
    # the longest files first, so that no worker waits for them at the end
    items.sort(key=lambda item: item.path.parent.name not in ("experiments", "training", "tests"))


@pytest.fixture
def unchecked():
    """The library as users run it: without the shape-checking hook, whose refusals come before the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """Compiled programs grow to gigabytes, but small ones of one file serve the next."""
    yield
    statm = Path("/proc/self/statm")
    if not statm.exists() or int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > MOST_MEMORY:
        jax.clear_caches()
