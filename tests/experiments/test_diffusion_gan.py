"""GANs with diffusion: a whole small run, several seeds at once against one at a time, and what covers a mixture."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from shown import metrics_of

from experiments.diffusion_gan.config import PRESETS
from experiments.diffusion_gan.measure_plane import coverage
from experiments.diffusion_gan.mixtures import MIXTURES, grid, ring
from experiments.diffusion_gan.plane_ddpm import plane_ddpm
from experiments.diffusion_gan.plane_games import chain, games
from experiments.kit.side_by_side import initial

SMALL = PRESETS["smoke"]

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("A GAN may collapse", "Diffusion-GAN", "relativistic", "Fréchet distance", "precision", "recall"),
        "grid.png ring.png loss.png samples.png quality-and-time.png",
    )
    for rows in metrics["plane"].values():
        assert [row["calls"] for row in rows] == [1, 1, 1, 1, 2, 2, 6, 2, None]
    assert [row["calls"] for row in metrics["images"]] == [2, 2, 2, 6, None]


@pytest.mark.parametrize(("mixture", "nearest"), [(grid(), 2 / 2.828), (ring(), 4 / 1.414 * np.sin(np.pi / 8))])
def test_the_mixtures_are_those_of_the_papers(mixture, nearest):
    x = mixture.sample(0, 20_000)
    assert (x**2).sum(1).mean() / 2 == pytest.approx(1.0, abs=0.03)  # unit variance
    apart = np.linalg.norm(mixture.centres[:, None] - mixture.centres, axis=-1)
    assert apart[apart > 1e-9].min() == pytest.approx(nearest, rel=1e-6)
    found = coverage(mixture, x)
    # a share of 1 − exp(−9/2) lies within three standard deviations
    assert found.good_share == pytest.approx(0.98889, abs=4 * (0.98889 * 0.0111 / len(x)) ** 0.5)
    assert found.modes == len(mixture.centres)


@pytest.mark.parametrize("name", [slow(name) if name == "grid" else name for name in MIXTURES])
def test_exact_scores_need_many_steps(name):
    """With the exact score, DDPM's samples are good in 50 steps and not in 4, whatever is learned."""
    mixture, ddpm = MIXTURES[name], plane_ddpm(replace(SMALL, timesteps=50))
    keys = jax.random.split(jax.random.key(0), 1000)
    shares = [
        coverage(mixture, np.asarray(jax.jit(ddpm.draw_exactly(mixture, n))(None, keys))).good_share for n in (4, 50)
    ]
    assert shares[0] < 0.1
    assert shares[1] > 0.95


def test_what_could_only_fail_later_is_refused():
    for flags, message in [
        ({"seeds": 1}, "--seeds must be at least 2 for an error bar"),
        ({"ddim_steps": (9,)}, r"subsets of 1 to as many steps, got \[9\]"),
        ({"latents": 1}, "--latents must be at least 2"),
        ({"plane_hidden": (8, 0)}, "--plane-hidden are widths"),
        ({"gamma": -1.0}, "--gamma must be finite"),
        ({"plane_noise": 0.0}, "--plane-noise must be positive"),
        ({"plane_noise_min": 3.0}, "--plane-noise-min and --plane-noise-max must ascend"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **flags)


def test_noise_over_signal_rises_by_one_factor():
    """So the chain's state after step k is x0 + r_k ε up to its scale, with r from the least to the largest."""
    config = PRESETS["default"]
    process, t = chain(config), np.arange(1, 5) / 4
    np.testing.assert_allclose(process.alpha(t) ** 2 + process.sigma(t) ** 2, 1, atol=1e-6)
    ratios = np.asarray(process.sigma(t) / process.alpha(t))
    np.testing.assert_allclose(ratios[[0, -1]], [config.plane_noise_min, config.plane_noise_max], rtol=1e-4)
    np.testing.assert_allclose(ratios[1:] / ratios[:-1], ratios[1] / ratios[0], rtol=1e-4)


@pytest.mark.slow
def test_all_networks_of_a_game_draw_points():
    for game in games(SMALL).values():
        params = initial(game.init, jax.random.split(jax.random.key(0)))[0]
        x = jax.vmap(game.draw, (0, None))(params, jax.random.split(jax.random.key(0), 3))
        assert x.shape == (2, 3, 2)
        assert jnp.isfinite(x).all()
