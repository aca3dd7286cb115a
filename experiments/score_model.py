"""A score model of images: EDM's preconditioned U-Net, trained on dequantised images, as a denoiser of any process."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import TrainingConfig
from experiments.training import initial_parameters, train_network
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
from jaxgen.nets import UNet
from jaxgen.training import History

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0


def grid(process: GaussianProcess, n: int) -> np.ndarray:
    """EDM's n noise levels as times, the same levels for every process, then 0."""
    return karras_grid(process, n, SIGMA_MIN, SIGMA_MAX)


class Model(NamedTuple):
    """A trained score model of one process, and what it takes to evaluate it."""

    process: GaussianProcess
    net: UNet
    params: Any
    sigma_data: float
    shape: tuple[int, ...]
    history: History

    def denoise(self, params: Any, cond: Any = None, clip: float | None = None) -> Denoiser:
        """The denoiser with these parameters, which stay an argument of what is compiled."""
        network = edm_preconditioning(self.process, partial(self.net.apply, params), self.sigma_data)
        return denoiser(self.process, network, predicts="x0", cond=cond, clip=clip)


def train(
    config: TrainingConfig,
    net: UNet,
    process: GaussianProcess | None,
    steps: int,
    seed: int,
    train_images,
    held_out,
    directory: Path,
    *,
    conditions: tuple[Any, Any] | None = None,
    drop: float = 0.0,
) -> Model:
    """A score model of a process, or of EDM's noise levels where that is None; the images are dequantised anew.

    The paper's objective is the error in ε at t uniform on [1e-5, 1]; EDM's weighs the error in x0 at ln σ normal.
    conditions: of the training and of the held-out images, for a conditional net; a share `drop` is not shown.
    """
    shape = train_images.shape[1:]
    sigma_data = float(np.sqrt(np.mean(np.square(train_images[:5000] / 127.5 - 1))))
    params = initial_parameters(net, seed, jnp.zeros((1, *shape)), jnp.zeros(1))
    if process is None:
        process = edm()
        objective = {"weighting": weighting.edm(sigma_data), "times": times.log_normal(process, -0.8, 1.6)}
    else:
        objective = {"weighting": weighting.simple(), "times": times.uniform()}

    def loss(key, params, batch):
        loss_key, *keys = jax.random.split(key, len(batch[0]) + 1)
        x0, cond = dequantise(jnp.stack(keys), batch[0]), None
        if conditions is not None:
            # null is negative, for labels and for texts
            cond = guidance.drop_condition(jax.random.fold_in(key, 1), batch[1], -1, drop)
        network = edm_preconditioning(process, partial(net.apply, params), sigma_data)
        return denoising_loss(loss_key, process, network, x0, predicts="x0", cond=cond, **objective)

    shown = ((), ()) if conditions is None else [(of,) for of in conditions]
    trained = train_network(
        replace(config, steps=steps), params, loss, (train_images, *shown[0]), directory, seed=seed,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out, *shown[1]))),
    )  # fmt: skip
    return Model(process, net, trained.averaged, sigma_data, shape, trained.history)
