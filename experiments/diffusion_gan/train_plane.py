"""The trainings in the plane: every method on every mixture, all seeds of a method at once."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.mixtures import MIXTURES, Mixture
from experiments.diffusion_gan.plane_ddpm import DDPM, PlaneDDPM, plane_ddpm
from experiments.diffusion_gan.plane_games import DDGAN, RELATIVISTIC, Game, games
from experiments.kit import many_seeds
from experiments.kit.adversarial import train_game
from experiments.kit.run import Run
from experiments.kit.training import learning_rate, train_network

POINTS = 100_000  # of each seed


class Plane(NamedTuple):
    """The trained methods.

    Attributes:
        games: the GANs by name.
        ddpm: DDPM.
        params: by mixture and by method, the averaged parameters, with a leading axis of seeds.
    """

    games: dict[str, Game]
    ddpm: PlaneDDPM
    params: dict[str, dict[str, Any]]


def train(run: Run[Config]) -> Plane:
    """Train every method on every mixture."""
    config = replace(run.config, cores=1)  # cores that shared such small batches would mostly wait
    run = replace(run, config=config)
    data = {name: points(mixture, config) for name, mixture in MIXTURES.items()}
    plane = Plane(games(config), plane_ddpm(config), {name: {} for name in data})
    how = {"seed": config.seed, "steps": config.plane_steps, "batch_size": config.plane_batch_size}
    # a method's mixtures one after the other, which share what is compiled
    for method, game in plane.games.items():
        objectives = many_seeds.objectives_of(game.objectives, config.seeds)
        optimizers = (optimizer(config, method),) * 2
        for name, x in data.items():
            params = many_seeds.initial(game.init, config.seed, config.seeds)
            trained = train_game(run, f"plane/{name}/{method}", objectives, params, (x,), optimizers=optimizers, **how)
            plane.params[name][method] = trained.generator
    loss = many_seeds.losses_of(plane.ddpm.loss, config.seeds)
    for name, x in data.items():
        params = many_seeds.initial(plane.ddpm.init, config.seed, config.seeds)
        plane.params[name][DDPM] = train_network(
            run, f"plane/{name}/{DDPM}", params, loss, (x,), clip=0.0, **how,
            held_out_loss=lambda params, x=x[:1000]: loss(jax.random.key(1), params, (x,))[0].mean(),
        ).averaged  # fmt: skip
    return plane


def points(mixture: Mixture, config: Config) -> np.ndarray:
    """The training points (n, seeds, 2): each seed has its own."""
    return np.stack([mixture.sample(config.seed + i, POINTS) for i in range(config.seeds)], axis=1)


def optimizer(config: Config, method: str) -> optax.GradientTransformation:
    """Adam for either player, whose rate falls to 0 along a cosine."""
    strong = method in (RELATIVISTIC, DDGAN)
    rate = config.strong_learning_rate if strong else config.plane_learning_rate
    return optax.adam(learning_rate(rate, config.plane_steps), b1=0.0 if strong else 0.5, b2=0.9)
