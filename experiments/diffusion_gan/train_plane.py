"""The trainings in the plane: every method on all mixtures and with all seeds at once, side by side."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.mixtures import MIXTURES
from experiments.diffusion_gan.plane_ddpm import DDPM, PlaneDDPM, plane_ddpm
from experiments.diffusion_gan.plane_games import DDGAN, RELATIVISTIC, Game, games
from experiments.kit.adversarial import train_game
from experiments.kit.parallel import in_parallel
from experiments.kit.run import Run
from experiments.kit.side_by_side import initial, losses_of, objectives_of
from experiments.kit.training import learning_rate, train_network

POINTS = 100_000  # of each copy


class Plane(NamedTuple):
    """The trained methods.

    Attributes:
        games: the GANs by name.
        ddpm: DDPM.
        params: by method, the averaged parameters with a leading axis of copies: the seeds of the first mixture, then
            those of the second.
    """

    games: dict[str, Game]
    ddpm: PlaneDDPM
    params: dict[str, Any]


def train(run: Run[Config]) -> Plane:
    """Train every method; the methods train in parallel."""
    config, all_games, ddpm = run.config, games(run.config), plane_ddpm(run.config)
    copies, data = len(MIXTURES) * config.seeds, (points(config),)
    how = {"seed": config.seed, "steps": config.plane_steps, "batch_size": config.plane_batch_size}

    def keys() -> jax.Array:
        return jax.random.split(jax.random.key(config.seed), copies)

    def play(run: Run[Config], name: str) -> Any:
        game = all_games[name]
        return train_game(
            run, f"plane/{name}", objectives_of(game.objectives, copies), initial(game.init, keys()), data,
            optimizers=(optimizer(config, name),) * 2, **how,
        ).generator  # fmt: skip

    def regress(run: Run[Config]) -> Any:
        loss, followed = losses_of(ddpm.loss, copies), (data[0][:1000],)
        return train_network(
            run, f"plane/{DDPM}", initial(ddpm.init, keys()), loss, data, clip=0.0, **how,
            held_out_loss=lambda params: loss(jax.random.key(1), params, followed)[0].mean(),
        ).averaged  # fmt: skip

    # the longest first
    jobs = {name: partial(play, name=name) for name in reversed(all_games)} | {DDPM: regress}
    return Plane(all_games, ddpm, jax.device_get(in_parallel(run, jobs)))


def points(config: Config) -> np.ndarray:
    """The training points (n, copies, 2): each copy has its own."""
    seeds = range(config.seed, config.seed + config.seeds)
    return np.stack([mixture.sample(seed, POINTS) for mixture in MIXTURES.values() for seed in seeds], axis=1)


def optimizer(config: Config, method: str) -> optax.GradientTransformation:
    """Adam for either player, whose rate falls to 0 along a cosine."""
    strong = method in (RELATIVISTIC, DDGAN)
    rate = config.strong_learning_rate if strong else config.plane_learning_rate
    return optax.adam(learning_rate(rate, config.plane_steps), b1=0.0 if strong else 0.5, b2=0.9)
