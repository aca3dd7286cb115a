"""Eight CPU devices stand in for an accelerator host, so pmap and sharding are tested everywhere."""

import jax
import jaxtyping
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session", autouse=True)
def daily(request):
    """Tests compile longer than they compute: the daily run does so lightly, `-m slow` and `-m ""` as users do."""
    daily = request.config.option.markexpr == "not slow"
    jax.config.update("jax_disable_most_optimizations", daily)
    return daily


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """chex's variants with and without a device are compiled again for little: jit, no jit and pmap are always run."""
    for item in items:
        if item.name.endswith(("__with_device", "__without_device")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def unchecked():
    """The library as users run it: without the shape-checking hook, whose refusals come before the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """Compiled programs of one file serve no other, and kept they grow to gigabytes."""
    yield
    jax.clear_caches()
