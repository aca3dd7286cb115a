"""A fully connected energy for points, latents and other small events."""

from collections.abc import Sequence

import flax.linen as nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.embedding import TimeConditionEmbedding
from jaxgen.nets.flattening import flattened
from jaxgen.nets.gan_layers import normalised


class EnergyMLP(nn.Module):
    """Hidden layers with SiLU from an example to its energy.

    `net.apply(params, x)` maps x (b, *event) to energies (b,), in float32 or higher. An energy of noised examples is
    initialised and called with their times, `net.apply(params, x, t)`, which shift every hidden layer. There are no
    normalisation layers, and SiLU makes the force −∇E smooth. The energy is 0 at initialisation.

    With `spectral_norm` the variables have a collection "batch_stats" beside "params", which is the `energy_state` of
    `ebm.maximum_likelihood`; see `DCGANCritic`.

    Args:
        hidden: widths of the hidden layers.
        spectral_norm: divide each layer's kernel by an estimate of its largest singular value. The slope of the energy
            is then at most about 1.1 per layer, so scale the output or the input where the data ask for more. The last
            kernel is not zero at initialisation.

    Raises:
        ValueError: if x is not floating point or has no event axis, or t has another shape than () or (b,).

    Reference:
        Du & Mordatch 2019, "Implicit generation and modeling with energy-based models", appendix, for networks without
        normalisation layers.
    """

    hidden: Sequence[int] = (128, 128, 128)
    spectral_norm: bool = False

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."] | None = None, *, update_stats: bool = False
    ) -> Float[Array, " b"]:
        """Evaluate the energy at x (b, *event), and at their times t, () or (b,), in [0, 1]."""
        hidden = flattened(x)
        time = None if t is None else nn.silu(TimeConditionEmbedding(64, name="embedding")(t, None, len(hidden)))
        for i, width in enumerate(self.hidden):
            hidden = normalised(nn.Dense(width, name=f"dense_{i}"), hidden, self.spectral_norm, update_stats)
            if time is not None:
                hidden += nn.Dense(width, use_bias=False, name=f"time_{i}")(time)
            hidden = nn.silu(hidden)
        init = nn.initializers.lecun_normal() if self.spectral_norm else nn.initializers.zeros
        out = nn.Dense(1, kernel_init=init, name="out")
        return normalised(out, hidden, self.spectral_norm, update_stats)[:, 0]
