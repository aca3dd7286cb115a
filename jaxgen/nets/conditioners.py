"""Networks that give normalizing flows their parameters: for points, for images, and masked for autoregression."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.nets.convolution import Conv
from jaxgen.nets.flattening import flattened
from jaxgen.nets.resampling import image_size


class MLPConditioner(nn.Module):
    """Hidden layers with SiLU over the flattened event, then `outputs` numbers that are 0 at initialisation.

    `net.apply(params, x)` maps x (b, *event) to (b, outputs), in float32 or higher. With further vectors as `cond`
    (b, k), a flow depends on them too.

    Args:
        outputs: number of outputs. A coupling of the last axis needs `size` of its scalar map for each number that it
            maps.
        hidden: widths of the hidden layers.

    Raises:
        ValueError: if x is not floating point or has no event axis.
    """

    outputs: int
    hidden: Sequence[int] = (64, 64)

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], cond: Float[Array, "b k"] | None = None
    ) -> Float[Array, "b outputs"]:
        """Evaluate the network."""
        x = flattened(x)
        if cond is not None:
            x = jnp.concatenate([x, as_float(cond)], axis=-1)
        for i, width in enumerate(self.hidden):
            x = nn.silu(nn.Dense(width, name=f"dense_{i}")(x))
        return nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, name="out")(x)


class ConvConditioner(nn.Module):
    """The network of Glow's couplings: convolutions 3 × 3, 1 × 1 and 3 × 3, of which the last is 0 at initialisation.

    `net.apply(params, x)` maps images (b, h, w, c) to (b, h, w, c · outputs), in float32 or higher. With an image
    `cond` (b, h, w, k), a flow depends on it too.

    Args:
        outputs: number of outputs per channel of x: `size` of the coupling's scalar map.
        channels: channels of both hidden layers.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point.

    Reference:
        Kingma & Dhariwal 2018, "Glow", §3.3.
    """

    outputs: int
    channels: int = 64

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b h w c"], cond: Float[Array, "b h w k"] | None = None
    ) -> Float[Array, "b h w out"]:
        """Evaluate the network."""
        image_size(x)
        x = as_float(x)
        outputs = self.outputs * x.shape[-1]
        if cond is not None:
            x = jnp.concatenate([x, as_float(cond)], axis=-1)
        x = nn.relu(Conv(self.channels, (3, 3), name="conv_0")(x))
        x = nn.relu(Conv(self.channels, (1, 1), name="conv_1")(x))
        return Conv(outputs, (3, 3), kernel_init=nn.initializers.zeros, name="out")(x)


class MADE(nn.Module):
    """A masked network whose outputs for coordinate i depend on the coordinates before i only.

    `net.apply(params, x)` maps x (b, d) to (b, d, outputs), in float32 or higher, 0 at initialisation. The outputs for
    the first coordinate depend on no input. With vectors `cond` (b, k), all outputs depend on them too.

    Args:
        outputs: number of outputs per coordinate: `size` of the flow's scalar map.
        hidden: widths of the hidden layers, of at least d − 1 units each.

    Raises:
        ValueError: if x is not floating point of shape (b, d), or a hidden layer has fewer than d − 1 units.

    Reference:
        Germain et al. 2015, "MADE: Masked autoencoder for distribution estimation", eq. 8 to 14.
    """

    outputs: int
    hidden: Sequence[int] = (64, 64)

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b d"], cond: Float[Array, "b k"] | None = None
    ) -> Float[Array, "b d outputs"]:
        """Evaluate the network."""
        if jnp.ndim(x) != 2:
            raise ValueError(f"expected x of shape (b, d), got {jnp.shape(x)}")
        x = flattened(x)
        dims = x.shape[-1]
        if min(self.hidden, default=dims) < dims - 1:
            raise ValueError(f"hidden layers need {dims - 1} units or more for {dims} coordinates, got {self.hidden}")
        degrees = np.arange(1, dims + 1)  # unit of degree m sees the coordinates up to m
        for i, width in enumerate(self.hidden):
            below, degrees = degrees, np.arange(width) % max(1, dims - 1) + min(1, dims - 1)
            x = _MaskedDense(degrees >= below[:, None], name=f"dense_{i}")(x)
            if cond is not None:
                x += nn.Dense(width, use_bias=False, name=f"cond_{i}")(as_float(cond))
            x = nn.silu(x)
        seen = np.repeat(np.arange(1, dims + 1), self.outputs) > degrees[:, None]
        x = _MaskedDense(seen, kernel_init=nn.initializers.zeros, name="out")(x)
        return x.reshape(len(x), dims, self.outputs)


class _MaskedDense(nn.Module):
    """A linear layer whose kernel is multiplied by a mask (inputs, outputs)."""

    mask: np.ndarray
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "b inputs"]) -> Float[Array, "b outputs"]:
        kernel = self.param("kernel", self.kernel_init, self.mask.shape)
        bias = self.param("bias", nn.initializers.zeros, self.mask.shape[1:])
        return jnp.matmul(x, kernel * self.mask, precision=jax.lax.Precision.HIGHEST) + bias
