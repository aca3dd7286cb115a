"""Compilation with little optimisation, for programs that compile far longer than they compute."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_OPTION = "jax_disable_most_optimizations"


def compile_lightly() -> None:
    """Let XLA optimise little from now on; its own flags take effect before JAX's first computation.

    A program is compiled in one piece, as cutting small ones into parts costs more than it saves.
    """
    jax.config.update(_OPTION, True)
    flags = ["--xla_cpu_parallel_codegen_split_count=1"]
    if jax.__version_info__ < (0, 11):  # later versions end a process for a flag that they do not know
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()


@contextmanager
def lightly_compiled() -> Iterator[None]:
    """Let XLA optimise little for a while."""
    before = jax.config.read(_OPTION)
    jax.config.update(_OPTION, True)
    try:
        yield
    finally:
        jax.config.update(_OPTION, before)
