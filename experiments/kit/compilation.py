"""Compilation with little optimisation, for programs that compile far longer than they compute."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_OPTION = "jax_disable_most_optimizations"


def compile_lightly() -> None:
    """Let XLA optimise little from now on; its own flag takes effect before JAX's first computation."""
    jax.config.update(_OPTION, True)
    if jax.__version_info__ < (0, 11):  # later versions end a process for a flag that they do not know
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()


@contextmanager
def lightly_compiled() -> Iterator[None]:
    """Let XLA optimise little for a while."""
    before = jax.config.read(_OPTION)
    jax.config.update(_OPTION, True)
    try:
        yield
    finally:
        jax.config.update(_OPTION, before)
