"""Runs that are killed, starved and damaged at random moments: a small share here, all of it when asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("faults.py")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks into /proc")


ROOT = PROGRAM.parents[2]

DAILY = ["SIGKILL in a save", "disk full in a save", "bit flipped"]


def strike(kills, seed, timeout, *options, faults=14):
    done = subprocess.run(
        [sys.executable, PROGRAM, "--kills", str(kills), "--seed", str(seed), *options],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    table, _, counts = done.stdout.strip().rpartition("\n")
    counts = json.loads(counts)
    assert counts["kills"] >= kills * (faults == 14)
    assert counts["lost"] == 0
    assert counts["exact"] == counts["runs"] > 0
    rows = [line.rsplit(maxsplit=5) for line in table.splitlines()[1:-1]]
    assert sum(int(times) > 0 for _, times, *_ in rows) == faults, table


def test_nothing_completed_is_lost():
    strike(3, 3, 600, "--adversarial", "--only", *DAILY, faults=len(DAILY))


@pytest.mark.slow
def test_nothing_completed_is_lost_in_200_kills():
    strike(200, 0, 3000)


@pytest.mark.slow
def test_two_players_lose_nothing_in_50_kills():
    strike(50, 0, 3000, "--adversarial")
