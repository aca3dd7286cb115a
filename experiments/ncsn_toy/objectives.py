"""Denoising, implicit and sliced score matching: the losses, their constants, and training by each."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from experiments.kit.run import Run
from experiments.kit.toy_sampling import exact_score
from experiments.kit.toy_training import Fit, ScoreNet, Training, initial
from experiments.ncsn_toy.config import Config
from jaxgen.distributions import GaussianMixture
from jaxgen.score_matching import denoising, explicit, implicit, sliced

Loss = Callable[[jax.Array, Callable, jax.Array], jax.Array]  # key, score, x -> (B,)

NAMES = {"DSM": "denoising", "ISM": "implicit", "SSM": "sliced", "SSM-VR": "sliced, variance reduced"}


def objectives(sigma: float) -> dict[str, Loss]:
    """The four objectives by their usual names; σ is the noise of DSM."""
    return {
        "DSM": lambda key, score, x: denoising(key, score, x, sigma),
        "ISM": lambda key, score, x: implicit(score, x),
        "SSM": lambda key, score, x: sliced(key, score, x),
        "SSM-VR": lambda key, score, x: sliced(key, score, x, variance_reduced=True),
    }


def constants(mixture: GaussianMixture, sigma: float, n: int = 50_000) -> dict[str, float]:
    """What is added to each objective to make it ½E‖s − ∇log q‖²: E‖∇log q‖²/2, less E‖ε/σ‖²/2 for DSM (d = 2)."""

    @jax.jit
    def half_information(level):
        q = mixture.perturbed(1.0, level)
        return 0.5 * jnp.mean(jnp.sum(q.score(q.sample(jax.random.key(0), n)) ** 2, -1))

    clean = float(half_information(0.0))
    return {"DSM": float(half_information(sigma)) - 1 / sigma**2, "ISM": clean, "SSM": clean, "SSM-VR": clean}


def train_objectives(run: Run[Config], mixture: GaussianMixture, net: ScoreNet) -> dict[str, list[Fit]]:
    """Train by each objective, for every seed from the same parameters and data.

    Followed are "own", the Fisher divergence ½E‖s − ∇log q‖² to the density that the objective is for, and "to p", that
    to p, both on held-out draws. q is p, and p * N(0, σ² I) for DSM.
    """
    config, sigma = run.config, run.config.objective_sigma
    held_out = mixture.sample(jax.random.key(config.seed + 80), 4000)
    noised = held_out + sigma * jax.random.normal(jax.random.key(config.seed + 81), held_out.shape)
    of_q = partial(exact_score(mixture), sigma=jnp.float32(sigma))
    keys = jax.random.split(jax.random.key(config.seed + 82), config.seeds)

    def fits(name: str, loss: Loss) -> list[Fit]:
        x, target = (noised, of_q) if name == "DSM" else (held_out, mixture.score)

        def batch_loss(key, params):
            data_key, loss_key = jax.random.split(key)
            return loss(loss_key, partial(net.apply, params), mixture.sample(data_key, config.batch_size))

        def follow(params):
            score = partial(net.apply, params)
            own = explicit(score, target, x).mean()
            return {"own": own, "to p": explicit(score, mixture.score, held_out).mean()}

        train = Training(
            batch_loss, steps=config.objective_steps, learning_rate=config.learning_rate, follow=follow,
            progress=config.progress,
        )  # fmt: skip
        return [train(key, initial(net, key)) for key in keys]

    losses = objectives(sigma)
    return {name: run.stage(f"objectives/{name}", partial(fits, name, loss)) for name, loss in losses.items()}
