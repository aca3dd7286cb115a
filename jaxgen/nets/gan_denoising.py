"""The generator and critic of denoising diffusion GANs for images."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.gan_layers import MappingNetwork
from jaxgen.nets.gan_residual import ResidualCritic
from jaxgen.nets.gaussian_head import flatten_latents
from jaxgen.nets.unet import UNet


class DenoisingGenerator(nn.Module):
    """U-Net of a noisy image whose GroupNorms are scaled and shifted by the time and a latent's code.

    `network(x, t, z)` maps images x (b, h, w, c), times t (b,) or () in [0, 1] and latents z (b, d) to clean images
    (b, h, w, c) in (−1, 1), float32. The output is zero at initialisation. `diffusion.denoiser(process, network,
    predicts="x0")` makes the denoiser that `gan.ddgan` calls.

    The mapping network divides z by its root mean square. A latent of one entry would keep its sign alone: take d ≥ 2.

    Args:
        channels: base number of channels, as in `UNet`.
        multipliers: as in `UNet`.
        blocks: as in `UNet`.
        attention_levels: as in `UNet`.
        mapping_features: width of the mapping network.
        mapping_depth: its layers, at least 1.
        dtype: as in `UNet`.

    Raises:
        ValueError: if z is not floating point or has fewer than 2 numbers per example; and as `UNet` does.

    Reference:
        Xiao et al. 2022, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs", §4 and appendix;
        mapping network: Karras et al. 2019.
    """

    channels: int = 64
    multipliers: Sequence[int] = (1, 2, 2)
    blocks: int = 1
    attention_levels: Sequence[int] = (-1,)
    mapping_features: int = 256
    mapping_depth: int = 4
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."], z: Shaped[ArrayLike, "b *d"]
    ) -> Float[Array, "b h w c"]:
        """Generate clean images."""
        code = MappingNetwork(self.mapping_features, self.mapping_depth, name="mapping")(
            flatten_latents(jnp.asarray(z))
        )
        unet = UNet(
            self.channels,
            self.multipliers,
            self.blocks,
            self.attention_levels,
            cond_dim=self.mapping_features,
            dtype=self.dtype,
            name="unet",
        )
        return jnp.tanh(unet(x, t, code))


class DenoisingCritic(nn.Module):
    """`ResidualCritic` of x_s and x_t side by side, with the time and the standard deviation over the minibatch.

    `net.apply(params, x_s, x_t, t)` maps images x_s and x_t (b, h, w, c) and the times t (b,) or () of x_t to logits
    (b,), in float32 or higher. It is the critic that `gan.DenoisingPairs.at_x_t` takes.

    With a `minibatch_group` a logit depends on the other examples of its group. A gradient penalty such as `gan.r1`
    then also has their logits' slopes in x_s, and 0 leaves them out.

    Args:
        channels: as in `ResidualCritic`.
        max_channels: as in `ResidualCritic`.
        minibatch_group: as in `ResidualCritic`.
        spectral_norm: as in `ResidualCritic`.
        dtype: as in `ResidualCritic`.

    Raises:
        ValueError: as `ResidualCritic` does.

    Reference:
        Xiao et al. 2022, §4 and appendix.
    """

    channels: int = 64
    max_channels: int = 256
    minibatch_group: int = 4
    spectral_norm: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x_s: Shaped[ArrayLike, "b *event"],
        x_t: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        *,
        update_stats: bool = False,
    ) -> Float[Array, " b"]:
        """Evaluate the critic."""
        critic = ResidualCritic(
            self.channels, self.max_channels, self.minibatch_group, self.spectral_norm, self.dtype, name="critic"
        )
        return critic(jnp.concatenate([x_s, x_t], axis=-1), t, update_stats=update_stats)
