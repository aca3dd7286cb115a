"""Eight CPU devices stand in for an accelerator host, so pmap and sharding are tested everywhere."""

import jax
import jaxtyping
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)


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
