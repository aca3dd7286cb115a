"""Runs that are killed, starved and damaged at random moments: a small share here, all of it when asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("faults.py")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks into /proc")


def strike(kills, seed, timeout):
    done = subprocess.run(
        [sys.executable, PROGRAM, "--kills", str(kills), "--seed", str(seed)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    table, _, counts = done.stdout.strip().rpartition("\n")
    counts = json.loads(counts)
    assert counts["kills"] == kills
    assert counts["lost"] == 0
    assert counts["exact"] == counts["runs"] > 0
    # every fault did strike: none of the rows has a 0 in its second column
    rows = [line.rsplit(maxsplit=5) for line in table.splitlines()[1:-1]]
    assert len(rows) == 14
    assert all(int(times) > 0 for _, times, *_ in rows), table


def test_nothing_completed_is_lost():
    strike(kills=12, seed=3, timeout=600)


@pytest.mark.slow
def test_nothing_completed_is_lost_in_200_kills():
    strike(kills=200, seed=0, timeout=3000)
