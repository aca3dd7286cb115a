"""The network of a variational diffusion model."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp


class FourierNetwork(nn.Module):
    """A network of images that also sees sin and cos of 2^n π z for each n of `powers`.

    Reference:
        Kingma et al. 2021, appendix C.
    """

    network: Callable[..., nn.Module]
    powers: tuple[int, ...]

    @nn.compact
    def __call__(self, z, t, cond=None):
        """Map z (b, h, w, c) and t (b,) to an array of z's shape."""
        angles = [2.0**n * jnp.pi * z for n in self.powers]
        seen = jnp.concatenate([z, *(wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos))], axis=-1)
        return self.network(out_channels=z.shape[-1])(seen, t, cond)
