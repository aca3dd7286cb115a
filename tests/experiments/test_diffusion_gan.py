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
from experiments.diffusion_gan.plane_games import DDGAN, DIFFUSION_GAN, games
from experiments.kit import many_seeds

SMALL = PRESETS["smoke"]

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("A GAN may collapse", "Diffusion-GAN", "relativistic", "Fréchet distance", "precision", "recall"),
        "grid.png ring.png loss.png samples.png quality-and-time.png",
    )
    for rows in metrics["plane"].values():
        assert [row["calls"] for row in rows] == [1, 1, 1, 1, 4, 4, 8, 4, None]
    assert [row["calls"] for row in metrics["images"]] == [4, 4, 4, 8, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", [DIFFUSION_GAN, DDGAN])
def test_games_at_once_are_the_games_one_by_one(name):
    """Losses, gradients and carries of each seed do not see the others."""
    count, game = 2, games(SMALL)[name]
    together = many_seeds.objectives_of(game.objectives, count)
    players, key = many_seeds.initial(game.init, 0, count), jax.random.key(1)
    x = jax.random.normal(jax.random.key(2), (6, count, 2))
    for role in (0, 1):  # the generator, the critic
        own, other = players[role], players[1 - role]
        loss, single = (each[role] for each in (together, game.objectives))

        def mean(params, loss=loss, other=other):
            losses, _, carry = loss(key, params, other, x, **together.carry)
            return losses.mean(), carry

        gradient, carry = jax.grad(mean, has_aux=True)(own)
        for i, one in enumerate(jax.random.split(key, count)):
            take = lambda tree, i=i: jax.tree.map(lambda leaf: leaf[i], tree)

            def mean_of_one(params, single=single, one=one, i=i, other=other, take=take):
                losses, _, carry = single(one, params, take(other), x[:, i], **game.objectives.carry)
                return losses.mean(), carry

            expected = jax.grad(mean_of_one, has_aux=True)(take(own))
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), take((gradient, carry)), expected
            )


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
        ({"plane_beta_max": 0.1}, "--plane-beta-max must exceed"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **flags)


def test_all_networks_of_a_game_draw_points():
    for game in games(SMALL).values():
        params = many_seeds.initial(game.init, 0, 2)[0]
        x = jax.vmap(game.draw, (0, None))(params, jax.random.split(jax.random.key(0), 3))
        assert x.shape == (2, 3, 2)
        assert jnp.isfinite(x).all()
