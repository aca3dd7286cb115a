"""The score-SDE exercise: a whole small run, its parts, and what it refuses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Mixture, slow
from shown import metrics_of

from experiments.kit.call_counting import network_calls
from experiments.kit.config import RunConfig
from experiments.kit.drawing import Drawer
from experiments.kit.great_circle import great_circle
from experiments.kit.run import BadInput
from experiments.score_sde import __main__ as score_sde
from experiments.score_sde.measure_codes import between, correlations, in_batches
from experiments.score_sde.measure_correctors import repeated
from experiments.score_sde.measure_samplers import Comparison, Sampled
from experiments.score_sde.processes import three_processes
from experiments.score_sde.samplers import METHODS, exam_update, few_calls
from jaxgen.data import render_sprites
from jaxgen.diffusion import sub_vp, ve, vp
from jaxgen.samplers import Sampler, euler_maruyama, predictor_corrector, sample

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")

SMOKE = score_sde.PRESETS["smoke"]


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Bits per dimension", "Δt &lt; 0", "DPM-Solver++(2M)", "eld-out images", "One denoiser, three processes"),
        "data.png processes.png forward.png loss.png quality-and-calls.png many-calls.png noise-and-calls.png "
        "own-clocks.png samples.png predictor-corrector.png ode-samples.png encoding.png interpolation.png",
    )
    calls = {(row["sampler"], row["budget"]): row["calls"] for row in metrics["quality_by_calls"]}
    assert calls["DDIM", 3] == 3
    assert calls["Heun", 4] == 3  # two steps, the last of one call
    assert {sampler for sampler, _ in calls} == {METHODS[name].title for name in SMOKE.samplers}
    # samplers in x/alpha and sigma/alpha cannot tell the processes apart, but VE keeps the noise of its sigma_min, .01
    assert metrics["same_images"]["sub-VP"] < 1e-3
    assert metrics["same_images"]["VE"] < 0.02
    assert {row["process"] for row in metrics["bits_per_dim"]} == {"VE", "VP", "sub-VP"}
    # an untrained denoiser is nearly Gaussian, whose codes both networks share
    assert metrics["encoding"][0]["correlation"] > 0.95
    assert metrics["round_trip"] < 0.2
    # a corrector makes one call a step more, but none at t = 0 of VP
    chains = {(row["process"], row["sampler"]): row["calls"] for row in metrics["predictor_corrector"]}
    assert chains["VE", "exam's update, 2 steps"] == 2
    assert chains["VE", "exam's update, 2 + 5 correctors"] == 12
    assert chains["VP", "reverse diffusion, 2 + corrector"] == 3


def test_one_of_three_processes_is_that_process():
    t = jnp.linspace(0.01, 1, 7)
    functions = jax.jit(lambda process, t: (
        process.alpha(t), process.sigma(t), process.log_snr(t), process.prior_std,
        process.time_at_log_snr(process.log_snr(t)), jax.jvp(process.sigma, (t,), (jnp.ones_like(t),))[1],
    ))  # fmt: skip
    for one, expected in zip(three_processes().values(), (ve(0.01, 80.0), vp(), sub_vp()), strict=True):
        for found, of_expected in zip(functions(one, t), functions.__wrapped__(expected, t), strict=True):
            np.testing.assert_allclose(found, of_expected, rtol=1e-5)
    assert functions._cache_size() == 1


def drawer(keys, cores=1):
    return Drawer(RunConfig(cores=cores), lambda process, params: Mixture().denoiser(process), (1,), keys)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cores"), [("dpmpp_2m_sde", 1), slow("predictor_corrector", 8)])
def test_step_by_step_the_samples_are_those_of_the_driver(name, cores):
    process, sampler = vp(), METHODS[name].sampler
    keys, times = jax.random.split(jax.random.key(0), 50), np.linspace(1, 0, 9)
    draw = drawer(keys, cores)
    for grid in (times[2:], times):  # of two lengths
        drawn = draw(process, None, sampler, grid)
        expected = sample(keys, process, Mixture().denoiser(process), sampler, grid, (1,))
        # a corrector's long step from an outlier magnifies rounding
        np.testing.assert_allclose(drawn.images, expected, rtol=1e-3, atol=1e-5)
        assert drawn.calls == network_calls(sampler, process, grid)


def test_correctors_are_as_many_as_the_carry_says():
    process, keys, times = vp(), jax.random.split(jax.random.key(0), 50), np.linspace(1, 0.1, 4)
    idle = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
    pair, draw = predictor_corrector(idle, repeated(0.3)), drawer(keys)
    chains = [pair._replace(init=lambda x, many=many: (None, jnp.int32(many))) for many in (0, 1, 5)]
    found = [draw(process, None, chain, times) for chain in chains]
    assert [drawn.calls for drawn in found] == [0, 3, 15]
    np.testing.assert_array_equal(
        found[0].images, sample(keys, process, Mixture().denoiser(process), idle, times, (1,))
    )


def test_the_exams_update_is_euler_maruyama():
    """Term by term, but for the last step's noise, which the library leaves out."""
    process, keys = vp(), jax.random.split(jax.random.key(0), 50)
    times = np.linspace(1, 0.2, 9)
    denoise = Mixture().denoiser(process)
    found = [sample(keys, process, denoise, s, times, (1,)) for s in (exam_update(), euler_maruyama())]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_great_circles_keep_their_ends_and_length():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 4, 4, 3))
    np.testing.assert_allclose(great_circle(a, b, 0.0), a, atol=1e-12)
    np.testing.assert_allclose(great_circle(a, b, 1.0), b, atol=1e-12)
    norm = lambda x: np.linalg.norm(x.reshape(5, -1), axis=-1)
    np.testing.assert_allclose(norm(great_circle(a, b, 0.3)), 0.7 * norm(a) + 0.3 * norm(b))


def test_points_between_codes_lie_between_each_pair():
    codes = np.random.default_rng(0).normal(size=(8, 2, 2, 1))
    points = between(codes).reshape(7, 4, 2, 2, 1)
    np.testing.assert_allclose(points[3, 1], great_circle(codes[1:2], codes[5:6], 0.5)[0])


def test_batches_of_one_size_return_every_row():
    x, sizes = np.arange(14.0).reshape(7, 2), []
    found = in_batches(lambda batch: sizes.append(len(batch)) or 2 * batch, x, 3)
    np.testing.assert_array_equal(found, 2 * x)
    assert sizes == [3, 3, 3]


def test_correlations_are_those_of_each_pair():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1))
    np.testing.assert_allclose(correlations(x, 2 * x + 1), 1)
    np.testing.assert_allclose(correlations(x, -x), -1)


def test_second_order_is_compared_with_ddim_at_each_budget():
    rng = np.random.default_rng(0)

    def sampled(frechet, squares):
        return [Sampled(10, 10, np.zeros((15, 2, 2, 3)), 1.0, frechet, squares + rng.uniform(0, 0.01, 30))]

    sampled_by = {"DDIM": sampled(2.0, 0.5), "Heun": sampled(1.0, 0.9), "DPM-Solver++(2M)": sampled(3.0, 0.1)}
    orders = {"DDIM": 1, "Heun": 2, "DPM-Solver++(2M)": 2}
    found = Comparison(sampled_by, orders, 50, 1.0, 10, [10]).against_ddim()
    assert [(of.sampler, of.nearer, of.in_pixels) for of in found] == [
        ("Heun", True, "worse"), ("DPM-Solver++(2M)", False, "better"),
    ]  # fmt: skip
    assert not Comparison({"Heun": sampled(1.0, 0.9)}, {"Heun": 2}, 50, 1.0, 10, [10]).against_ddim()


def test_steps_cost_the_calls_asked_for():
    assert [METHODS[name].steps(11) for name in ("ddim", "heun")] == [11, 6]
    assert [few_calls(calls) for calls in ((5, 10, 20), (3, 4), (50, 20))] == [10, 4, 20]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 10}, "--samples must be at least 20"),
        ({"likelihood_images": 7}, "--likelihood-images must be at least 8"),
        ({"corrector_calls": 3}, "--corrector-calls must be at least 4"),
        ({"calls": (2,)}, "Heun needs at least 3 calls"),
        ({"calls": ()}, "--calls needs at least one value"),
        ({"samplers": ()}, "--samplers needs at least one value"),
        ({"corrector_calls": 5}, "--corrector-calls must be even"),
        ({"tolerances": (2.0,)}, "--tolerances"),
        ({"tolerances": (0.1, 0.5)}, "--tolerances must descend"),
        ({"snr": 0.0}, "--snr must be positive"),
        ({"twin_steps": 0}, "--twin-steps must be at least 1"),
    ],
)
def test_bad_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMOKE, **changes)


@pytest.mark.parametrize(("shape", "message"), [((16, 10), "16×16"), ((16, 16), "held-out images")])
def test_unfit_images_are_refused_before_anything_is_written(shape, message, tmp_path):
    np.save(tmp_path / "images.npy", render_sprites(60, 0).images[:, : shape[1], : shape[0]])
    with pytest.raises(BadInput, match=message):
        score_sde.main(replace(SMOKE, data=tmp_path / "images.npy", runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
