"""The networks that are timed, their objective, and how their training starts."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark.config import Config
from jaxgen.diffusion import denoising_loss, vp
from jaxgen.nets import MLP, UNet
from jaxgen.training import make_train_step

CHANNELS, HEAD_CHANNELS = 3, 64
OPTIMIZER = optax.adam(1e-3)


class Workload(NamedTuple):
    """What is trained.

    Attributes:
        net: the network.
        shape: shape of an example.
        batch: examples of a batch.
        steps: training steps of one measurement.
        per_call: steps of one compiled call, for the loop that takes several; 1 leaves that loop out.
        seed: seed of data and parameters.
    """

    net: nn.Module
    shape: tuple[int, ...]
    batch: int
    steps: int
    per_call: int = 1
    seed: int = 0


def build(
    network: Literal["unet", "mlp"], features: int, multipliers: tuple[int, ...], dtype: Any = jnp.float32
) -> nn.Module:
    """The network that all samplers call."""
    if network == "unet":
        return UNet(features, multipliers, head_channels=HEAD_CHANNELS, dtype=dtype)
    return MLP(features, depth=1, dtype=dtype)


def network_of(config: Config, dtype: Any = jnp.float32) -> nn.Module:
    """The network of these settings, which computes in a type."""
    return build(config.network, config.features, config.multipliers, dtype)


def workloads(config: Config) -> dict[str, Workload]:
    """What is trained, by name: the network on images, and a small MLP on points of the plane.

    The MLP sees 200 times as many examples as the network, because its steps are so much shorter.
    """
    shape, steps = (config.size, config.size, CHANNELS), config.training_steps
    first = "U-Net" if config.network == "unet" else "MLP on images"
    found = {first: Workload(network_of(config), shape, config.batch_sizes[0], steps, per_call=steps, seed=config.seed)}
    for batch in config.mlp_batch_sizes:
        steps = max(1, 200 * config.batch_sizes[0] * config.training_steps // batch)
        found[f"MLP {batch}"] = Workload(MLP(), (2,), batch, steps, per_call=10, seed=config.seed)
    return found


def variants(config: Config) -> dict[str, nn.Module]:
    """The network in float32, in bfloat16, and, if it is a U-Net, with rematerialisation."""
    net = network_of(config)
    found = {"float32": net, "bfloat16": net.clone(dtype=jnp.bfloat16)}
    return found | ({"float32, remat": net.clone(remat=True)} if isinstance(net, UNet) else {})


def loss_of(net: nn.Module) -> Callable[..., jax.Array]:
    """The objective that is timed, ε-prediction."""
    return lambda key, params, x0: denoising_loss(key, vp(), partial(net.apply, params), x0)


def parameters(net: nn.Module, shape: tuple[int, ...], seed: int) -> Any:
    """Initial parameters for examples of a shape."""
    # the generator rbg compiles faster
    return _init(net)(jax.random.key(seed, impl="rbg"), jnp.zeros((1, *shape)), jnp.zeros(1))


@cache
def _init(net: nn.Module) -> Callable[..., Any]:
    return jax.jit(net.init)


@cache
def train_step(net: nn.Module) -> Callable[..., tuple[Any, Any]]:
    """The training step of a network, the same one each time, so that it is compiled once."""
    return make_train_step(loss_of(net), OPTIMIZER)


def data(workload: Workload) -> np.ndarray:
    """Sixteen batches of noise, (16 batch, *shape)."""
    rng = np.random.default_rng(workload.seed)
    return rng.normal(size=(16 * workload.batch, *workload.shape)).astype(np.float32)


def continued(step: Callable[..., tuple[Any, Any]], state: Any, batch: jax.Array) -> Callable[[int], None]:
    """A function that takes n training steps on one batch; each run continues from the last."""

    def run(n: int) -> None:
        nonlocal state
        for _ in range(n):
            state, _ = step(state, batch)
        jax.block_until_ready(state)

    return run
