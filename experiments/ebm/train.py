"""Training of every method on both densities; the networks of all seeds train side by side."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ebm.config import Config
from experiments.ebm.densities import DENSITIES, LIMITS
from experiments.ebm.methods import Method, methods
from experiments.kit.parallel import in_parallel
from experiments.kit.run import Run
from experiments.kit.side_by_side import copy_of, initial, losses_of
from experiments.kit.training import train_network
from jaxgen import ebm
from jaxgen.distributions import Distribution
from jaxgen.training import Diverged, History, LossFn

FOLLOWED_CELLS = 64  # of the quadrature that follows a training


class Trained(NamedTuple):
    """A method trained on a density: averaged parameters with a leading axis of seeds, and the history."""

    params: Any
    history: History


def train(run: Run[Config]) -> dict[str, dict[str, Trained]]:
    """Train all methods, by density and by method; the methods train in parallel."""
    all_methods = methods(run.config)

    def on_both(run: Run[Config], key: str, seed: int) -> dict[str, Trained]:
        method = all_methods[key]
        loss = loss_of(method, run.config.seeds)  # one for both densities, which share what is compiled
        return {
            name: train_method(run, f"{name}/{key}", method, loss, density(), seed)
            for name, density in DENSITIES.items()
        }

    seeds = {key: run.config.seed + 10 * i for i, key in enumerate(all_methods)}
    found = in_parallel(run, {key: partial(on_both, key=key, seed=seed) for key, seed in seeds.items()})
    return {name: {key: found[key][name] for key in all_methods} for name in DENSITIES}


def train_method(
    run: Run[Config], name: str, method: Method, loss: LossFn, density: Distribution, seed: int
) -> Trained:
    """Train the networks of all seeds by one optimiser, which treats every number alone."""
    config = run.config
    data_key, *keys = jax.random.split(jax.random.key(seed), 3)
    points = np.asarray(density.sample(data_key, (config.points, 2)))
    params, carry = (
        initial(make, jax.random.split(key, config.seeds))
        for make, key in zip((method.initial, method.carry), keys, strict=True)
    )
    try:
        trained = train_network(
            run,
            name,
            params,
            loss,
            (points,),
            held_out_loss=followed(method, density, points[:512]),
            seed=seed,
            steps=method.steps,
            carry=carry,
            clip=0,
        )
    except Diverged as error:
        remedy = "Chains that lag behind need a lower --learning-rate, more steps of a chain, or shorter ones"
        raise Diverged(f"{name}: {error}. {remedy}", error.history) from error
    return Trained(jax.device_get(trained.averaged), trained.history)  # of whichever core trained it


def loss_of(method: Method, seeds: int) -> LossFn:
    """The losses of all seeds, each on its own part of the batch."""
    loss = losses_of(method.loss, seeds)

    def of_parts(key: jax.Array, params: Any, batch: tuple[jax.Array], **carry: Any) -> tuple[jax.Array, dict, dict]:
        return loss(key, params, batch[0].reshape(seeds, -1, 2).swapaxes(0, 1), **carry)

    return of_parts


def followed(method: Method, density: Distribution, points: np.ndarray) -> Callable[..., jax.Array]:
    """What is followed on averaged parameters: the mean divergence from the truth, or the DDPM's loss."""

    def divergence(params: Any) -> jax.Array:
        return ebm.plane_density(method.energy(params), *LIMITS, cells=FOLLOWED_CELLS).kl_from(density.log_density)

    def ddpm_loss(params: Any) -> jax.Array:
        return method.loss(jax.random.key(0), params, jnp.asarray(points))[0].mean()

    one = ddpm_loss if method.energy is None else divergence
    return lambda params, **carry: jax.vmap(one)(params).mean()


def of_seed(trained: Trained, seed: int) -> Any:
    """The parameters of one seed."""
    return copy_of(trained.params, seed)
