"""The score-SDE experiment from its command line: a whole small run, its parts, and what it refuses."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from oracles import Mixture, slow
from shown import metrics_of

from experiments import launch, score_sde
from experiments import score_sde_samplers as samplers
from experiments import score_sde_solvers as solvers
from experiments.calls import network_calls
from jaxgen.data import render_sprites
from jaxgen.diffusion import vp
from jaxgen.samplers import euler_maruyama, sample

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("bits/dim", "Δt &lt; 0", "DPM-Solver++(2M)", "held-out images", "One denoiser, three processes"),
        "data.png processes.png forward.png loss.png quality-and-calls.png few-calls.png many-calls.png "
        "noise-and-calls.png own-clocks.png samples.png predictor-corrector.png ode-samples.png encoding.png "
        "interpolation.png",
    )
    calls = {(row["sampler"], row["budget"]): row["calls"] for row in metrics["quality_by_calls"]}
    assert calls["DDIM", 3] == 3
    assert calls["Heun", 4] == calls["DPM-Solver++(2S)", 4] == 3  # two steps, the last of one call
    assert {sampler for sampler, _ in calls} == set(samplers.SAMPLERS)
    # samplers in x/alpha and sigma/alpha cannot tell the processes apart, but VE keeps the noise of its sigma_min, .01
    assert metrics["same_images"]["sub-VP"] < 1e-3
    assert metrics["same_images"]["VE"] < 0.02
    assert {row["process"] for row in metrics["bits_per_dim"]} == {"VE", "VP", "sub-VP"}
    # an untrained denoiser is nearly Gaussian, whose codes both networks share
    assert metrics["encoding"][0]["correlation"] > 0.95
    assert metrics["round_trip"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["DPM-Solver++(2M) SDE", slow("predictor–corrector")])
def test_step_by_step_the_samples_are_those_of_the_driver(kind):
    class Exact(NamedTuple):
        process: Any = vp()
        shape: tuple[int, ...] = (1,)
        params: None = None

        def denoise(self, params):
            return Mixture().denoiser(self.process)

    model, keys, times = Exact(), jax.random.split(jax.random.key(0), 50), np.linspace(1, 0, 9)
    draw = samplers.ModelDrawer(model, keys)
    for grid in (times[2:], times):  # of two lengths
        expected = sample(keys, vp(), model.denoise(None), samplers.SAMPLERS[kind], grid, (1,))
        drawn = draw(samplers.SAMPLERS[kind], grid)
        np.testing.assert_allclose(drawn.images, expected, atol=1e-5)
        assert drawn.calls == network_calls(samplers.SAMPLERS[kind], vp(), grid)


def test_the_exams_update_is_euler_maruyama():
    """Term by term, but for the last step's noise, which the library leaves out."""
    process, keys = vp(), jax.random.split(jax.random.key(0), 50)
    times = np.linspace(1, 0.2, 9)
    denoise = Mixture().denoiser(process)
    found = [sample(keys, process, denoise, s, times, (1,)) for s in (samplers.exam_update(), euler_maruyama())]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_great_circles_keep_their_ends_and_length():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 4, 4, 3))
    np.testing.assert_allclose(solvers.great_circle(a, b, 0.0), a, atol=1e-12)
    np.testing.assert_allclose(solvers.great_circle(a, b, 1.0), b, atol=1e-12)
    norm = lambda x: np.linalg.norm(x.reshape(5, -1), axis=-1)
    np.testing.assert_allclose(norm(solvers.great_circle(a, b, 0.3)), 0.7 * norm(a) + 0.3 * norm(b))


def test_images_of_another_size_are_refused_before_anything_is_written(tmp_path):
    np.save(tmp_path / "images.npy", render_sprites(60, 0).images[:, :10])
    config = replace(score_sde.PRESETS["smoke"], data=tmp_path / "images.npy", runs=tmp_path / "runs")
    with pytest.raises(launch.BadInput):
        score_sde.main(config)
    assert not (tmp_path / "runs").exists()
