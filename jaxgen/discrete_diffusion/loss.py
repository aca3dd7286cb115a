"""The loss function of chains over categories, one value per example."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import check_not_negative, is_traced
from jaxgen.diffusion.times import TimeSampler, stratified
from jaxgen.discrete_diffusion._denoiser import PredictionType, TokenNetwork, denoiser
from jaxgen.discrete_diffusion.bound import EARLIEST, bound_term, rate_term
from jaxgen.discrete_diffusion.process import CategoricalProcess, check_tokens


def bound_loss(
    key: Key[Array, ""],
    process: CategoricalProcess,
    network: TokenNetwork,
    x0: Int[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: PredictionType = "x0",
    times: TimeSampler | None = None,
    cross_entropy: ArrayLike = 0.0,
) -> Float[Array, " b"]:
    """The bound at random times, in nats per token, plus a multiple of the cross-entropy.

    In discrete time it is T (KL + λ CE) of a random step, in continuous time the rate KL + λ CE. For λ = 0 it is an
    unbiased estimate of the bound without its prior term, which has no gradient. On an absorbing chain in continuous
    time it is the weighted cross-entropy of masked diffusion.

    Args:
        key: key of the times and the noise.
        process: the process.
        network: function (x, t, cond) -> logits (B, *event, K), of tokens x (B, *event) and t (B,).
        x0: clean tokens (B, *event).
        cond: conditioning, passed to the network.
        predicts: which law the logits are of, as in `denoiser`.
        times: sampler (key, B) -> t of shape (B,), uniform in law; by default `diffusion.times.stratified`, whose times
            have low discrepancy.
        cross_entropy: λ ≥ 0, the weight of −log p_θ(x_0 | x_t); .001 in the hybrid loss of D3PM.

    Returns:
        Losses (B,), float32.

    Raises:
        ValueError: if tokens are no integers from 0 to K − 1, `predicts` is unknown, cross_entropy is negative, the
            logits have another shape, or the process has neither steps nor rates.

    Reference:
        Austin et al. 2021, eq. 5; Shi et al. 2024, §3; Lou et al. 2024, theorem 3.6; Kingma et al. 2021, §I.1, for
        the times.

    Example:
        ```python
        def loss(key, params, x0):
            return discrete_diffusion.bound_loss(key, process, partial(net.apply, params), x0)
        ```
    """
    check_tokens(process, x0)
    check_not_negative(cross_entropy=cross_entropy)
    time_key, noise_key = jax.random.split(key)
    batch, steps = len(x0), process.steps
    t = jnp.maximum((times or stratified(steps))(time_key, batch), EARLIEST)  # at 0 rates are infinite
    x_t = process.perturb(jax.random.split(noise_key, batch), x0, t)
    prediction = denoiser(process, network, predicts=predicts, cond=cond)(x_t, t)
    if steps is None:
        losses = rate_term(process, prediction, x_t, x0, t)
    else:
        # a step's start in whole numbers, so that s = 0 is exact
        s = (jnp.round(t * steps) - 1) / steps
        losses = steps * bound_term(process, prediction, x_t, x0, s, t)
    if is_traced(cross_entropy) or cross_entropy > 0:
        chosen = jnp.take_along_axis(prediction.log_x0, x0[..., None].astype(jnp.int32), axis=-1)
        # a token that its noisy version determines adds nothing, nor a gradient of an infinite logarithm
        nats = -jnp.where(chosen > -jnp.inf, chosen, 0).reshape(batch, -1).sum(-1)
        losses += (steps or 1) * cross_entropy * nats
    return losses / max(1, x0[0].size)
