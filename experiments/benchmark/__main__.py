"""The speed of every sampler, and of training: what both cost beyond the network, and compared with diffusers.

The network has random weights: only time is measured, and the time of a call does not depend on what was learned.
"""

import os
from pathlib import Path

from experiments.benchmark import EXERCISE, peers
from experiments.benchmark.bench import find_devices
from experiments.benchmark.config import PRESETS, Config
from experiments.benchmark.measure import measure
from experiments.benchmark.report import write
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Find the devices, time sampling and training on them, report."""
    load = os.getloadavg()[0]  # before this run adds its own
    devices = find_devices(config.devices)
    with_peers = peers.wanted(config, devices)
    run = begin(EXERCISE, config)
    measured = measure(run, devices, with_peers=with_peers, load=load)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
