"""The improved-DDPM experiment: a whole small run, its estimate of bounds against the full sum, and what it refuses."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import gaussian_denoiser, slow
from shown import metrics_of

from experiments import improved_ddpm
from experiments import improved_ddpm_bounds as bounds
from jaxgen.diffusion import from_betas, importance, linear_betas, subset_grid, variational_bound

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("bits/dim", "Skipping the first 20 %", "learned variance", "held-out images"),
        "data.png chain.png signal.png training.png bits-by-steps.png terms.png quality-by-steps.png "
        "samples.png skipping.png skipped-samples.png",
    )
    trained = {(row["schedule"], row["objective"], row["variance"]) for row in metrics["bits_per_dim"]}
    assert ("cosine", "bound", "learned") in trained
    assert ("cosine", "sigmoid", "learned") not in trained  # its network has no output for it
    # a whole chain, and the same chain cut by a fifth
    assert metrics["skipping"]["share"] == [0.0, 0.2]


@pytest.mark.slow
def test_objectives_weigh_the_same_error_as_they_are_named():
    """One key has the same times and noise: min(SNR, 5)/SNR, ½ |dλ/dt| sigmoid(2 − λ), 1/(T p_t) of the bound."""
    schedule, key = improved_ddpm.schedules(50)["cosine"], jax.random.key(3)
    x0 = 0.5 * jax.random.normal(key, (64, 2))

    def run(objective, *carry):
        """The loss and the times at which the network was asked."""
        seen = {}

        def network(x, t, cond):
            seen["t"] = t
            return jnp.concatenate([0.3 * x, jnp.zeros_like(x)], -1) if carry else 0.3 * x

        return improved_ddpm.loss_of(objective, schedule)(key, network, x0, *carry), seen["t"]

    (error, t), (min_snr, _), (sigmoid, _) = jax.jit(lambda: [run(o) for o in ("simple", "min-SNR", "sigmoid")])()
    log_snr = np.float64(schedule.chain.log_snr(t))
    ratio = min_snr / error
    np.testing.assert_allclose(ratio, np.minimum(1, 5 * np.exp(-log_snr)), rtol=1e-4)
    ratio = sigmoid / error
    # dλ/dt = ᾱ'/(ᾱ (1 − ᾱ)) with ᾱ = cos²φ/cos²φ_0 and φ' = π/2/1.008
    alpha_bar, first = 1 / (1 + np.exp(-log_snr)), np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    slope = np.pi / 1.008 * np.sqrt(1 / (alpha_bar * first) - 1) / (1 - alpha_bar)
    np.testing.assert_allclose(ratio, 0.5 * slope / (1 + np.exp(log_snr - 2)), rtol=2e-3)
    history = importance.record(
        importance.loss_history(50, 1), jnp.arange(1, 51) / 50, 1 + jnp.arange(50, dtype=jnp.float32)
    )
    (weighted, _, carry), t = jax.jit(lambda history: run("bound", history))(history)
    after = carry["history"]
    step = np.round(np.asarray(t) * 50).astype(int)
    assert len(set(step)) > 20
    p = np.float64(importance.probabilities(history))[step - 1]
    np.testing.assert_array_equal(after.counts - 1, np.bincount(step, minlength=51)[1:])
    # of each step the history keeps the square of the last loss, before its weight
    last = {s: i for i, s in enumerate(step)}
    kept = np.sqrt([after.squares[s - 1, 0] for s in last])
    order = np.array(list(last.values()))
    np.testing.assert_allclose(np.abs(weighted[order]), kept / (50 * p[order]), rtol=1e-4)


class Exact(NamedTuple):
    """Data N(.2, .3²) with their exact denoiser."""

    process: Any = from_betas(linear_betas(60, 1e-3, 0.2))
    params: None = None
    learned: bool = False


@pytest.mark.slow
@pytest.mark.parametrize("n", [slow(60), 12])
def test_bounds_at_random_steps_are_those_of_the_whole_chain(n):
    """The full sum over the chain, averaged over noise, is what the estimate at few random steps is unbiased for."""
    rng, model = np.random.default_rng(0), Exact()
    images = np.round((rng.normal(0.2, 0.3, (400, 2, 2, 1)).clip(-1, 1) + 1) * 127.5) / 127.5 - 1
    images = jnp.asarray(images, jnp.float32)
    denoise = lambda process, params: gaussian_denoiser(process, 0.2, 0.3)
    found = bounds.Bounds(images, draws=40, seed=1)(denoise, model, n)
    grid = subset_grid(60, n)
    for variance in ("small", "large"):
        whole = np.mean(
            [
                variational_bound(
                    jax.random.split(jax.random.key(seed), 400), model.process, denoise(model.process, None), images,
                    grid=grid, variance=f"fixed_{variance}",
                ).total
                for seed in range(4)
            ],
            axis=0,
        ) / (4 * np.log(2))  # fmt: skip
        gap = found.bits[variance] - whole
        error = gap.std() / 20
        assert error < 0.02 * whole.mean()
        assert abs(gap.mean()) < 4 * error


def test_mean_terms_are_those_over_steps_however_steps_were_drawn():
    """A step drawn often counts no more: of terms t² at 1000 steps, drawn with p ∝ 1 + 9t."""
    grid = np.arange(1, 1001) / 1000
    p = (1 + 9 * grid) / np.sum(1 + 9 * grid)
    drawn = np.random.default_rng(0).choice(1000, (40, 1000), p=p)
    middles, means = bounds.mean_terms(grid[drawn], grid[drawn] ** 2, 1 / p[drawn])
    np.testing.assert_allclose(middles, np.arange(0.025, 1, 0.05), rtol=1e-12)
    part = np.minimum((grid * 20).astype(int), 19)
    exact = [np.mean(grid[part == k] ** 2) for k in range(20)]
    # within a part of 50 steps t² spreads by up to 1.7 times its mean, over some 500 to 3800 draws
    np.testing.assert_allclose(means[1:], exact[1:], rtol=0.03)


def test_networks_are_ranked_by_paired_differences():
    rng = np.random.default_rng(0)
    image = rng.normal(4, 1, 100)  # images differ far more than networks do
    found = {
        "second": {"small": image + 0.1 + rng.normal(0, 0.01, 100), "learned": image + 0.3},
        "first": {"small": image + 2, "large": image},
    }
    told = bounds.ranked(found)
    assert told.startswith(f"first {image.mean():.2f} (large), second +0.")
    gap, error = map(float, re.search(r"second \+(\S+) ± (\S+) \(small\)", told).groups())
    assert abs(gap - 0.1) < 0.005
    assert error == 0.001
