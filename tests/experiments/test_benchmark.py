"""The benchmark: its counts against the papers' numbers of calls, its clock, and a whole small run."""

import json
import re
import sys
from dataclasses import replace
from importlib.util import find_spec

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from shown import metrics_of

from experiments import benchmark, benchmark_peers, launch
from experiments.calls import Counter, network_calls
from experiments.timing import Subject, Timing, in_turns, overhead
from jaxgen import samplers
from jaxgen.diffusion import uniform_grid, vp

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

N = benchmark.PRESETS["smoke"].steps
PEERS = find_spec("torch") is not None and find_spec("diffusers") is not None

# on N steps that end at clean data, from each paper's algorithm
CALLS = {
    "ddpm": N,
    "ddim": N,
    "euler": N,
    "euler_maruyama": N,
    "reverse_diffusion": N,
    "heun": 2 * N - 1,  # Karras et al. 2022, algorithm 2: the last step is Euler's
    "heun, churn": 2 * N - 1,
    "dpmpp_1": N,
    "dpmpp_2s": 2 * N - 1,
    "dpmpp_2m": N,
    "dpmpp_2m_sde": N,
    "langevin": N,
    "annealed_langevin": 2 * N + 1,  # two a level, and the final denoising
    "predictor_corrector": 2 * N - 1,  # no corrector at clean data
}


DAILY = {"ddpm", "heun", "dpmpp_2s", "annealed_langevin", "predictor_corrector"}  # one for each number of calls


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in DAILY else slow(name) for name in CALLS])
def test_network_calls_are_those_of_the_algorithm(name):
    assert set(CALLS) == set(benchmark.FIXED)
    assert benchmark.fixed_calls(name, N) == CALLS[name]


@pytest.mark.slow
def test_network_calls_follow_the_grid():
    assert network_calls(samplers.heun(), vp(), np.linspace(1, 0.1, N + 1)) == 2 * N
    assert network_calls(samplers.langevin(1e-3, steps=4), vp(), uniform_grid(3)) == 12
    assert network_calls(samplers.langevin(1e-3, steps=0), vp(), uniform_grid(3)) == 0


def test_a_counter_sees_loops_and_the_branch_taken():
    counter = Counter()
    double = counter.around(lambda x: 2 * x)

    @jax.jit
    def work(x):
        x = jax.lax.fori_loop(0, 3, lambda i, x: double(x), x)
        return jax.lax.cond(x > 0, double, lambda x: double(double(x)), x)

    assert (work(jnp.float32(1)), counter.calls) == (16, 4)
    assert (work(jnp.float32(-1)), counter.calls) == (-32, 4 + 5)


def test_rivals_are_timed_in_turns():
    order = []
    subjects = {name: Subject(7, lambda n=name: order.append(n), lambda k: order.append(k)) for name in "ab"}
    ended = []
    timings = in_turns(subjects, 2, ended.append)
    assert order == [7, "a", 7, "b", "a", 7, "b", 7]
    assert ended == [1, 2]
    assert {name: timing.run.shape for name, timing in timings.items()} == {"a": (2,), "b": (2,)}


def test_the_overhead_is_paired_by_round():
    # a machine that becomes ten times slower changes no ratio
    slow = np.array([1.0, 10.0, 1.0, 10.0, 10.0])
    assert overhead(Timing(1.5 * slow, slow)) == pytest.approx((1.5, 1.5, 1.5))
    # ratios 30, 2 and 1, where the ratio of the medians is 3
    assert overhead(Timing(np.array([30.0, 20, 100]), np.array([1.0, 10, 100]))) == pytest.approx((2, 1.5, 16))


class Shift(nn.Module):
    """Stands in for the U-Net, which takes seconds to compile for each of the samplers."""

    @nn.compact
    def __call__(self, x, t, cond=None):
        return nn.Dense(x.shape[-1])(x + t[:, None, None, None])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run of a small network, beside diffusers where that is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "build", lambda config: Shift())
        root = tmp_path_factory.mktemp("runs")
        return benchmark.main(replace(benchmark.PRESETS["smoke"], runs=root, part="sampling")).parent


def test_a_run_leaves_its_report(finished):
    kinds = ["overhead", *["peers"] * PEERS]
    metrics = metrics_of(
        finished,
        ("Overhead", "python -m", "threads", "predictor_corrector", *["Beside diffusers"] * PEERS),
        " ".join(f"{kind}-cpu-{batch}.png" for kind in kinds for batch in (4, 1)),
    )
    everywhere, few = metrics["results"]
    assert [row["sampler"] for row in everywhere["samplers"]] == list(benchmark.NAMES)
    assert [row["sampler"] for row in few["samplers"]] == ["ddim"]
    assert (everywhere["batch"], few["batch"]) == (4, 1)
    assert [row["sampler"] for row in everywhere["peers"]] == [
        name for name in benchmark.NAMES if PEERS and name in benchmark_peers.SCHEDULERS
    ]
    assert {row["sampler"]: row["network calls"] for row in everywhere["samplers"] if row["fixed steps"]} == CALLS
    for row in everywhere["samplers"]:
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        assert all(value > 0 for value in numbers.values()), row
        assert len(numbers) == 8
        assert row["lower quartile"] <= row["overhead"] <= row["upper quartile"]
        assert len(row["rounds"]["run"]) == benchmark.PRESETS["smoke"].rounds
        assert row["images per second"] == pytest.approx(1e3 / row["ms per image"])
        assert row["first call (s)"] > row["compile (s)"]


def test_adaptive_calls_are_seen_on_the_network_itself(finished):
    rows = json.loads((finished / "metrics.json").read_text())["results"][0]["samplers"]
    calls = {row["sampler"]: row["network calls"] for row in rows if not row["fixed steps"]}
    assert calls["sample_sde, equal steps"] == benchmark.PRESETS["smoke"].steps
    # Dormand and Prince's method makes 6 new calls a step and 1 to begin
    assert calls["sample_ode, adaptive"] % 6 == 1


@pytest.mark.skipif(not PEERS, reason='the extra "peers" is not installed')
@pytest.mark.parametrize("name", benchmark_peers.SCHEDULERS)
def test_peers_make_the_calls_that_ours_make(name, peer_network):
    subject = benchmark_peers.subject(peer_network, name, N, CALLS[name], (2, 3, 8, 8))
    assert subject.calls == CALLS[name]
    assert tuple(subject.run().shape) == (2, 3, 8, 8)
    subject.network(2)


@pytest.mark.skipif(not PEERS, reason='the extra "peers" is not installed')
def test_the_peer_has_the_size_of_ours(peer_network):
    bench = benchmark.Bench(benchmark.PRESETS["smoke"], jax.devices()[0], 1)
    assert peer_network.parameters == pytest.approx(bench.parameters, rel=0.15)


@pytest.fixture(scope="module")
def peer_network():
    config = benchmark.PRESETS["smoke"]
    return benchmark_peers.network(config.features, config.multipliers, config.size, 3, 64, "cpu")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-sizes", "4", "4"], "--batch-sizes must be positive and differ"),
        (["--batch-sizes", "0"], "--batch-sizes must be positive"),
        (["--steps", "1"], "--steps must be at least 2"),
        (["--rounds", "1"], "--rounds must be at least 2"),
        (["--few", "dimm"], r"--few names \['dimm'\]: choose from ddpm, ddim"),
        (["--devices", "abacus"], "--devices abacus: .*abacus"),
        (["--peers", "maybe"], "maybe"),
    ],
)
def test_bad_flags_are_refused(flags, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--preset", "smoke", "--runs", str(tmp_path / "runs"), *flags])
    with pytest.raises(SystemExit) as stop:
        launch.run(benchmark.main, benchmark.PRESETS)
    printed = " ".join(re.sub(r"[│╭╮╰╯─]", " ", "".join(capsys.readouterr()) + str(stop.value)).split())
    assert re.search(message, printed), printed
    assert not (tmp_path / "runs").exists()


def test_missing_peers_are_named(monkeypatch):
    monkeypatch.setattr(benchmark_peers, "find_spec", lambda name: None if name == "diffusers" else name)
    assert not benchmark_peers.wanted("auto")
    with pytest.raises(launch.BadInput, match=r'needs diffusers: pip install -e "\.\[peers\]"'):
        benchmark_peers.wanted("on")
