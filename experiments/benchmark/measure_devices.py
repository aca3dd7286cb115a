"""Times, memory and losses of training on several devices."""

import json
import os
import subprocess
import sys
from functools import partial

import jax

from experiments.benchmark.config import Config
from experiments.benchmark.devices import LAYOUTS, Scaled
from experiments.kit.run import Run


def measure_devices(run: Run[Config], platform: str) -> tuple[list[Scaled], str | None]:
    """Training on several devices, and why some of it was not measured: the rest is worth its report."""
    config, scaled, failure = run.config, [], None
    there = max(config.training_devices) if platform == "cpu" else len(jax.devices(platform))
    if too_many := [n for n in config.training_devices if n > there]:
        failure = f"this machine has {there}, fewer than {max(too_many)}"
    try:
        for n in [n for n in config.training_devices if n <= there]:
            config.announce(f"training on {n} devices")
            scaled += run.stage(f"devices/{n}", partial(train_on, config, platform, n))
    except RuntimeError as error:
        failure = str(error)
    return sorted(scaled, key=lambda of: LAYOUTS.index(of.how)), failure


def train_on(config: Config, platform: str, n: int) -> list[Scaled]:
    """Train a small network on n devices, in a process of its own; CPU devices share the cores there are.

    Raises:
        RuntimeError: if the process fails.
    """
    sizes = n, config.features, config.size, config.batch_sizes[0], config.training_steps
    flags = "--network", config.network, "--seed", config.seed, "--multipliers", *config.multipliers[:2]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark.devices", *map(str, (*sizes, *flags))],
        env=_environment(config, platform, n), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"training on {n} devices failed: {done.stderr.strip()[-2000:]}")
    return [Scaled(**of) for of in json.loads(done.stdout.splitlines()[-1])]


def _environment(config: Config, platform: str, n: int) -> dict[str, str]:
    """The environment of that process: n devices where they are CPUs, and compiling as this process does."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={n}"
    environment = {**os.environ, "XLA_FLAGS": flags, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if config.devices:
        environment["JAX_PLATFORMS"] = platform
    if config.preset == "smoke":
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    return environment
