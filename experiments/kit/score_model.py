"""A score model of images: EDM's preconditioned U-Net, trained on dequantised images, as a denoiser of any process."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.run import Run
from experiments.kit.training import apply_network, initial_parameters, train_network
from jaxgen.data import dequantise
from jaxgen.diffusion import (
    Denoiser,
    GaussianProcess,
    denoiser,
    denoising_loss,
    edm,
    edm_preconditioning,
    guidance,
    karras_grid,
    times,
    weighting,
)
from jaxgen.training import History, LossFn

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0


def grid(process: GaussianProcess, n: int) -> np.ndarray:
    """EDM's n noise levels as times, the same levels for every process, then 0."""
    return karras_grid(process, n, SIGMA_MIN, SIGMA_MAX)


class Model(NamedTuple):
    """A trained score model of one process, and what it takes to evaluate it.

    Attributes:
        process: the process whose scores it knows.
        net: the network.
        params: its averaged parameters.
        sigma_data: root mean square of the training images, for EDM's preconditioning.
        shape: shape of an image.
        history: its losses.
    """

    process: GaussianProcess
    net: nn.Module
    params: Any
    sigma_data: float
    shape: tuple[int, ...]
    history: History

    def denoise(self, params: Any, cond: Any = None, clip: float | None = None) -> Denoiser:
        """The denoiser with these parameters, which stay an argument of what is compiled."""
        network = edm_preconditioning(self.process, partial(apply_network, self.net, params), self.sigma_data)
        return denoiser(self.process, network, predicts="x0", cond=cond, clip=clip)


@lru_cache(maxsize=1)  # networks of several seeds share what is compiled
def denoising_objective(
    net: nn.Module, process: GaussianProcess | None, sigma_data: float, conditional: bool, drop: float
) -> LossFn:
    """The loss of a network on batches of uint8 images, or of images and conditions.

    Args:
        net: the network.
        process: the process whose paper's objective is meant, or None for EDM's objective.
        sigma_data: root mean square of the training images.
        conditional: whether batches hold conditions.
        drop: probability of dropping an example's condition.
    """
    if process is None:
        process = edm()
        objective = {"weighting": weighting.edm(sigma_data), "times": times.log_normal(process, -0.8, 1.6)}
    else:
        objective = {"weighting": weighting.simple(), "times": times.uniform()}

    def loss(key, params, batch):
        keys = jax.random.split(key, len(batch[0]) + 1)
        x0, cond = dequantise(keys[1:], batch[0]), None
        if conditional:
            # null is negative, for labels and for texts
            cond = guidance.drop_condition(jax.random.fold_in(key, 1), batch[1], -1, drop)
        network = edm_preconditioning(process, partial(net.apply, params), sigma_data)
        return denoising_loss(keys[0], process, network, x0, predicts="x0", cond=cond, **objective)

    return loss


def root_mean_square(images: np.ndarray) -> float:
    """The root mean square of uint8 images as numbers in [−1, 1], of the first 5000."""
    return float(np.sqrt(np.mean(np.square(images[:5000] / 127.5 - 1))))


def train(
    run: Run,
    name: str,
    net: nn.Module,
    process: GaussianProcess | None,
    steps: int,
    seed: int,
    train_images: np.ndarray,
    held_out: np.ndarray,
    *,
    conditions: tuple[Any, Any] | None = None,
    drop: float = 0.0,
) -> Model:
    """Train a score model on images that are dequantised anew in each step.

    With a process, the objective is the paper's: the error in ε at t uniform on [1e-5, 1]. Without, it is EDM's: the
    weighted error in x0 at ln σ normal.

    Args:
        run: the run.
        name: folder of the network within the run's.
        net: the network.
        process: the process, or None for EDM's.
        steps: training steps.
        seed: seed of parameters, batches and noise.
        train_images: uint8 images (n, h, w, c).
        held_out: uint8 images on which the loss is followed.
        conditions: conditions of the training and of the held-out images, for a conditional network.
        drop: probability of dropping an example's condition.
    """
    shape, sigma_data = train_images.shape[1:], root_mean_square(train_images)
    params = initial_parameters(net, seed, jnp.zeros((1, *shape)), jnp.zeros(1))
    loss = denoising_objective(net, process, sigma_data, conditions is not None, drop)
    train_conditions, held_out_conditions = ((), ()) if conditions is None else [(each,) for each in conditions]
    trained = train_network(
        run, name, params, loss, (train_images, *train_conditions), seed=seed, steps=steps,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out, *held_out_conditions))),
    )  # fmt: skip
    return Model(process or edm(), net, trained.averaged, sigma_data, shape, trained.history)
