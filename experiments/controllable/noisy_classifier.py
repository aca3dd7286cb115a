"""A classifier of noisy images x_t, whose gradient guides samples to a class."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.controllable.config import Config
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, train_network
from jaxgen.diffusion import GaussianProcess, perturb, times
from jaxgen.nets import ConvClassifier


class NoisyClassifierNet(nn.Module):
    """A convolutional classifier that sees the noise level as one more channel."""

    num_classes: int

    @nn.compact
    def __call__(self, x, level):
        """Map images (b, h, w, c) and noise levels (b,) to log-probabilities (b, num_classes)."""
        channel = jnp.broadcast_to(level[:, None, None, None], (*x.shape[:-1], 1))
        return jax.nn.log_softmax(ConvClassifier(self.num_classes)(jnp.concatenate([x, channel], axis=-1)))


class NoisyClassifier(NamedTuple):
    """p(y | x_t) at every t of a process."""

    net: nn.Module
    process: GaussianProcess
    params: Any

    def log_probs(self, params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        """log p(y | x_t) for every class y, (b, classes), of x (b, h, w, c) at t (b,)."""
        size = jnp.hypot(self.process.alpha(t), self.process.sigma(t))
        return self.net.apply(params, x / size[:, None, None, None], self.process.log_snr(t) / 8)


def train_noisy_classifier(run: Run[Config], process: GaussianProcess, data: Images, *, steps: int) -> NoisyClassifier:
    """Train a classifier of x_t at noise levels of every size.

    Args:
        run: the run.
        process: the process of x_t.
        data: labelled images.
        steps: training steps.
    """
    net, draw_times = NoisyClassifierNet(data.train.num_classes), times.log_normal(process, 0.0, 2.0)
    untrained = NoisyClassifier(net, process, None)
    held_out = jnp.asarray(data.held_out.images[:256]), jnp.asarray(data.held_out.labels[:256])

    def loss(key, params, batch):
        time_key, noise_key = jax.random.split(key)
        x0, y = batch
        t = draw_times(time_key, len(x0))
        x = perturb(process, x0, t, jax.random.normal(noise_key, x0.shape))
        return optax.softmax_cross_entropy_with_integer_labels(untrained.log_probs(params, x, t), y)

    trained = train_network(
        run, "noisy-classifier", initial_parameters(net, run.config.seed, held_out[0][:1], jnp.zeros(1)), loss,
        (data.train.images, data.train.labels), seed=run.config.seed + 20, steps=steps,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, held_out)),
    )  # fmt: skip
    return untrained._replace(params=trained.averaged)
