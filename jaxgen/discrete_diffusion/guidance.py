"""Classifier-free guidance of denoisers of tokens."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from jaxgen.core import as_float
from jaxgen.discrete_diffusion._denoiser import TokenDenoiser, TokenPrediction, evaluate
from jaxgen.discrete_diffusion.process import CategoricalProcess, over_tokens


def classifier_free(
    process: CategoricalProcess, denoise: TokenDenoiser, cond: Any, null: Any, scale: ArrayLike
) -> TokenDenoiser:
    """Classifier-free guidance on logits: log p ∝ (1 − scale) log p_unconditional + scale log p_conditional.

    scale 0 gives the unconditional prediction, 1 the conditional one, and more is guided. As the weights sum to 1, it
    is the same for the posterior as for the leave-one-out law. Two calls of the denoiser.

    Args:
        process: the process.
        denoise: a denoiser of a network trained with `diffusion.guidance.drop_condition`.
        cond: the condition, as the denoiser takes it.
        null: what replaced a dropped condition in training.
        scale: the guidance scale, () or (B,), traced or not.

    Returns:
        The guided denoiser. Its own `cond` replaces cond.

    Raises:
        ValueError: when called, if scale has another shape.
        TypeError: if `denoise` is a bare network, when called.

    Reference:
        Ho & Salimans 2022; Schiff et al. 2024, "Simple guidance mechanisms for discrete diffusion models".
    """
    bound_cond = cond

    def guided(x: Int[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> TokenPrediction:
        if jnp.shape(scale) not in ((), x.shape[:1]):
            raise ValueError(f"scale must have shape () or {x.shape[:1]}, one per example, got {jnp.shape(scale)}")
        weight = over_tokens(as_float(scale), x)
        conditional = evaluate(denoise, x, t, cond=cond).log_others
        unconditional = evaluate(denoise, x, t, cond=null).log_others
        log_others = jax.nn.log_softmax(weight * conditional + (1 - weight) * unconditional)
        return TokenPrediction(process.to_posterior(log_others, x, t), log_others)

    return guided
