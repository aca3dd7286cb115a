"""The benchmark: its counts against the papers' numbers of calls, its clock, its report, and a whole small run."""

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

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import bench, devices, measure_steps, peers, report
from experiments.benchmark import samplers as timed
from experiments.benchmark.config import PRESETS, Config
from experiments.benchmark.cost import CompileTime
from experiments.benchmark.measure import Measured
from experiments.benchmark.measure_sampling import Peer, Sampled, Sampling, measure_sampling
from experiments.benchmark.measure_training import Training
from experiments.benchmark.samplers import FIXED, GENERATED, NAMES
from experiments.kit import launch
from experiments.kit.call_counting import Counter, network_calls
from experiments.kit.run import BadInput, begin
from experiments.kit.timing import Subject, Timing, in_turns, overhead
from jaxgen import samplers
from jaxgen.diffusion import uniform_grid, vp

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

SMOKE = PRESETS["smoke"]
N = SMOKE.steps
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
    assert set(CALLS) == set(FIXED)
    assert timed.fixed_calls(name, N) == CALLS[name]


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
    """Stands in for the network, which takes seconds to compile for each of the samplers."""

    @nn.compact
    def __call__(self, x, t, cond=None):
        return nn.Dense(x.shape[-1])(x + t[:, None, None, None])


@pytest.mark.slow
def test_every_sampler_compiles_and_draws(monkeypatch):
    monkeypatch.setattr(bench, "network_of", lambda *of: Shift())
    tested = bench.Bench(SMOKE, jax.devices()[0], 2)
    calls = {}
    for name in NAMES:
        compiled = tested.compile(name)
        assert compiled.first_call_seconds > compiled.compile_seconds > 0
        assert compiled.memory_bytes > 0
        calls[name] = compiled.subject.calls
    assert {name: calls[name] for name in CALLS} == CALLS
    assert calls["sample_sde, equal steps"] == N
    # Dormand and Prince's method makes 6 new calls a step and 1 to begin
    assert calls["sample_ode, adaptive"] % 6 == 1
    assert calls[GENERATED] == 4 * N


def test_a_sampler_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(bench, "network_of", lambda *of: Shift())
    tested = bench.Bench(SMOKE, jax.devices()[0], 1)
    tested.params = jax.tree.map(lambda leaf: jnp.nan * leaf, tested.params)
    with pytest.raises(FloatingPointError, match="ddim drew values that are not finite"):
        tested.compile("ddim")


@pytest.mark.slow
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Overhead", "threads", "generate", "value and gradient", "GFLOP per step", "fully sharded"),
        "overhead-cpu-4.png overhead-cpu-1.png",
    )
    everywhere, few = metrics["results"]
    assert [row["sampler"] for row in everywhere["samplers"]] == list(SMOKE.samplers)
    assert [row["sampler"] for row in few["samplers"]] == ["ddim"]
    assert (everywhere["batch"], few["batch"]) == (4, 1)
    assert everywhere["peers"] == []
    assert everywhere["samplers"][0]["network calls"] == CALLS["ddim"]
    for row in everywhere["samplers"]:
        numbers = {name: value for name, value in row.items() if isinstance(value, float)}
        assert all(value > 0 for value in numbers.values()), row
        assert len(numbers) == 9
        assert row["lower quartile"] <= row["overhead"] <= row["upper quartile"]
        assert len(row["rounds"]["run"]) == SMOKE.rounds
        assert row["images per second"] == pytest.approx(1e3 / row["ms per image"])
        assert row["first call (s)"] > row["compile (s)"]
    training = metrics["training"]
    assert list(training["ways"]) == ["MLP on images, batch 4", "MLP, batch 80"]
    assert all(row["compile (s)"] > row["compile, cached (s)"] for row in training["cost"])
    assert [row["network"] for row in training["precision"]] == ["float32", "bfloat16"]
    assert [(row["devices"], row["how"]) for row in training["scaling"]] == [(2, how) for how in devices.LAYOUTS]


@pytest.mark.slow
def test_the_preset_of_gpus_runs_at_a_small_size(tmp_path):
    small = replace(
        PRESETS["gpu"], runs=tmp_path, progress=False, precision="bfloat16", batch_sizes=(2, 1), steps=2, rounds=2,
        features=8, multipliers=(1,), size=8, training_steps=1, mlp_batch_sizes=(200,),
    )  # fmt: skip
    metrics = json.loads((benchmark.main(small).parent / "metrics.json").read_text())
    assert "TF32" in metrics["environment"]["precision of float32 products"]
    first, _ = metrics["results"]
    assert [row["sampler"] for row in first["samplers"]] == list(small.samplers)
    assert all(0 < row["MFU"] < 1 for row in first["samplers"])
    assert [row["devices"] for row in metrics["training"]["scaling"]] == [1, 1]


def timing(run, network):
    return Timing(np.array(run), np.array(network))


def measured(load, failure=None):
    """What a run measures beside diffusers; its numbers are made up."""
    ours, theirs = timing([1.0, 2.0, 1.2], [1.0, 1.9, 1.1]), timing([2.0, 2.0, 4.8], [1.0, 1.0, 2.0])
    drawn = {name: Sampled(10, ours, 4 if name == GENERATED else 1, 3.0, 4.0, 2.0**20) for name in NAMES}
    compared = {name: Peer(peers.SCHEDULERS[name][0], 9, theirs) for name in ("ddim", "dpmpp_2s")}
    sampling = Sampling("cpu", "cpu", 64, load, 2, 1_000_000, 10**8, 1e10, ours, 8, drawn, compared, 1_100_000, 1, None)
    ways = {measure_steps.ADAM: ours, "step": theirs, "fit": ours, "diffusers and PyTorch": theirs}
    trained = [measure_steps.Trained(net, 64, 4, ways, 1e9, 1e6, {"fit": 1e-3}) for net in ("U-Net", "MLP")]
    variants = {name: measure_steps.Variant(ours, 1e6) for name in ("float32", "bfloat16", "float32, remat")}
    scaled = [devices.Scaled(n, "data_parallel", 0.1 * n, 1000, [1.0, 2.0]) for n in (1, 2)]
    times = [CompileTime(9.0, 1.0)] * 2
    training = Training("cpu", trained, times, 1e11, variants, [] if failure else scaled, failure)
    return Measured({"devices": "cpu", "torch": "2"}, [sampling, sampling._replace(batch=8)], training)


@pytest.mark.parametrize(("load", "failure"), [(0.1, None), slow(5.0, "training on 3 devices failed: no <memory>")])
def test_the_report_compares_with_diffusers(load, failure, tmp_path, capsys):
    run = begin(benchmark.EXERCISE, replace(PRESETS["default"], runs=tmp_path), [])
    path = report.write(run, measured(load, failure))
    names = [f"{kind}-cpu-{batch}.png" for batch in (64, 8) for kind in ("overhead", "peers")]
    metrics = metrics_of(path.parent, ("remat", "above our aim of 1.05"), " ".join(names))
    assert metrics["parameters"] == {"ours": 1_000_000, "diffusers": 1_100_000}
    # ten calls of 1e8 operations in 1.2 s, on a device of 1e10 a second
    assert metrics["results"][0]["samplers"][0]["MFU"] == pytest.approx(10 * 1e8 / 1.2 / 1e10)
    row = metrics["results"][0]["peers"][0]
    assert (row["sampler"], row["calls"]) == ("ddim", "10 / 9")
    assert row["ratio"] == pytest.approx(0.5)  # of 1/2, 1 and 1/4, taken round by round
    page = path.read_text()
    assert ("The machine was busy" in page) == (load > 1)
    assert ("was not measured completely: training on 3 devices failed: no &lt;memory&gt;" in page) == bool(failure)
    findings = json.loads((path.parent / "summary.json").read_text())["findings"]
    kinds = ["Overhead.", "Compared with diffusers.", "Compared with diffusers.", "Training, U-Net, batch 64."]
    assert [re.match("<strong>(.*?)</strong>", found)[1] for found in findings] == [*kinds, "Training, MLP, batch 64."]
    assert "0 of 14 fixed-step samplers" in findings[0]
    assert "Time per image, ours and that of diffusers, on CPU, batch 64" in capsys.readouterr().out


@pytest.mark.skipif(not PEERS, reason='the extra "peers" is not installed')
@pytest.mark.parametrize("name", peers.SCHEDULERS)
def test_peers_make_the_calls_that_ours_make(name, peer_network):
    subject = peers.subject(peer_network, name, N, CALLS[name], (2, 3, 8, 8))
    assert subject.calls == CALLS[name]
    assert tuple(subject.run().shape) == (2, 3, 8, 8)
    subject.network(2)


@pytest.mark.skipif(not PEERS, reason='the extra "peers" is not installed')
def test_the_peer_has_the_size_of_ours(peer_network):
    ours = bench.Bench(UNET, jax.devices()[0], 1)
    assert peer_network.parameters == pytest.approx(ours.parameters, rel=0.15)


@pytest.mark.slow
@pytest.mark.skipif(not PEERS, reason='the extra "peers" is not installed')
def test_a_sampler_is_timed_beside_its_peer():
    config = replace(UNET, samplers=("ddim",), progress=False)
    found = measure_sampling(config, jax.devices()[0], 4, 1e10, with_peers=True, load=0.0)
    assert list(found.peers) == ["ddim"]
    assert found.peers["ddim"].scheduler == "DDIM"
    assert found.ratio("ddim").shape == (config.rounds,)


UNET = replace(SMOKE, network="unet")


@pytest.fixture(scope="module")
def peer_network():
    return peers.network_of(UNET, "cpu")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-sizes", "4", "4"], "--batch-sizes must differ"),
        (["--batch-sizes", "0"], "--batch-sizes must be positive"),
        (["--batch-sizes"], "--batch-sizes needs at least one value"),
        (["--training-devices", "3"], r"--training-devices \[3\] do not divide the batch of 4"),
        (["--mlp-batch-sizes", "-1"], "--mlp-batch-sizes must be positive"),
        (
            ["--network", "unet", "--multipliers", "1", "1", "1", "1", "1"],
            "--size must be at least 16 for a U-Net of 5",
        ),
        (["--peers", "on"], "--peers on"),
        (["--steps", "1"], "--steps must be at least 2"),
        (["--rounds", "1"], "--rounds must be at least 2"),
        (["--few", "dimm"], r"--few names \['dimm'\]: choose from ddpm, ddim"),
        (["--samplers", "dimm"], r"--samplers names \['dimm'\]"),
        (["--devices", "cpu", "cpu"], "--devices cpu cpu names a device twice"),
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
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "diffusers" else name)
    assert not peers.wanted(Config(), jax.devices("cpu"))
    with pytest.raises(BadInput, match=r'needs diffusers: pip install -e "\.\[peers\]"'):
        peers.wanted(Config(peers="on"), jax.devices("cpu"))


def test_sizes_that_diffusers_cannot_have_are_refused(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: name)
    cpu = jax.devices("cpu")[:1]
    assert peers.wanted(Config(), cpu)
    assert not peers.wanted(Config(peers="off", size=18), cpu)
    assert not peers.wanted(Config(network="mlp"), cpu)
    for bad in ({"size": 18}, {"features": 48}):
        with pytest.raises(BadInput, match="needs a --size that 4 divides and --features that 32 divides"):
            peers.wanted(Config(**bad), cpu)


def test_the_command_for_several_devices_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        devices.main(["--help"])
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert "python -m experiments.benchmark.devices" in printed
    assert all(word in printed for word in ("--layouts", "number of devices", "fully_sharded"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99", "8", "8", "99", "1"], "set XLA_FLAGS=--xla_force_host_platform_device_count=99"),
        (["0", "8", "8", "4", "1"], "all numbers must be positive"),
        (["2", "8", "8", "3", "1"], "a batch of 3 cannot be split over 2 devices"),
    ],
)
def test_several_devices_must_fit(arguments, message):
    with pytest.raises(SystemExit, match=message):
        devices.main(arguments)
