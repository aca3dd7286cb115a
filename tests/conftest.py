"""Eight CPU devices stand in for an accelerator host, so pmap and sharding are tested everywhere."""

import contextlib
import gc
import shutil
import tempfile

import jax
import jaxtyping
import pytest
from hypothesis import settings

from experiments.kit.compilation import compile_lightly

COMPILED = pytest.StashKey[str]()
FILES = pytest.StashKey[int]()

settings.register_profile("daily", deadline=None, max_examples=15)
settings.register_profile("nightly", deadline=None, max_examples=60)


def pytest_configure(config):
    """Sets JAX and hypothesis up before test modules are imported, for they compile too.

    Tests compile longer than they compute. The daily run compiles with few optimisations and draws few examples, unless
    a test has its own `max_examples`; `-m slow` and `-m ""` compile as users do. What the tests of a process compile
    alike is compiled once, through a cache of its own, as two processes may not write to one.
    """
    daily = config.option.markexpr == "not slow"
    settings.load_profile("daily" if daily else "nightly")
    config.stash[COMPILED] = tempfile.mkdtemp(prefix="compiled-")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    if daily:
        compile_lightly()
    jax.config.update("jax_compilation_cache_dir", config.stash[COMPILED])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    gc.set_threshold(50_000, 50, 1000)  # tracing makes much garbage without cycles
    if jax.__version_info__ >= (0, 12):
        jax.enable_x64 = _clearing(jax.enable_x64)


def _clearing(enable_x64):
    """Clears what is compiled where float64 begins and ends: JAX 0.12 takes float64's programs for float32's."""

    @contextlib.contextmanager
    def switched(on=True):
        changes = bool(on) != jax.config.jax_enable_x64
        if changes:
            jax.clear_caches()
        with enable_x64(on):
            yield
        if changes:
            jax.clear_caches()

    return switched


def pytest_collection_finish():
    """Spares the garbage collector what all tests share."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    """Removes the cache of compiled programs."""
    shutil.rmtree(config.stash[COMPILED], ignore_errors=True)


@pytest.fixture(scope="session")
def daily(request):
    """Whether this is the daily run, which compiles with few optimisations."""
    return request.config.option.markexpr == "not slow"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leaves to the night all cases but the first of `first_by_day`, and chex's variants with and without a device."""
    seen = set()
    for item in items:
        sibling = item.get_closest_marker("first_by_day") and (item.parent.nodeid, item.originalname)
        if sibling in seen or item.name.endswith(("__with_device", "__without_device")):
            item.add_marker(pytest.mark.slow)
        elif sibling and not item.get_closest_marker("slow"):
            seen.add(sibling)
    # the longest files first, so that no worker waits for them at the end
    items.sort(key=lambda item: item.path.parent.name not in ("experiments", "training", "tests"))


@pytest.fixture
def unchecked():
    """The library as users run it: without the shape-checking hook, whose refusals come before the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled(request):
    """Forgets compiled programs around files with float64, which JAX may take for float32's, and after every eighth."""
    float64 = "enable_x64" in request.path.read_text()
    if float64:
        jax.clear_caches()
    yield
    stash = request.config.stash
    stash[FILES] = stash.get(FILES, 0) + 1
    if float64 or stash[FILES] % 8 == 0:
        jax.clear_caches()
