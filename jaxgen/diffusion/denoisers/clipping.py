"""Bounds on the x0 that a denoiser predicts."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_positive, per_example
from jaxgen.diffusion.denoisers.prediction import Prediction, to_x0_eps
from jaxgen.diffusion.processes.process import GaussianProcess

Clip = float | Callable[[Array], Array] | None


def clip_function(clip: Clip) -> Callable[[Array], Array] | None:
    """The function x0 -> x0 that a clip stands for; None for no clip."""
    if clip is None or callable(clip):
        return clip
    check_positive(clip=clip)
    return lambda x0: jnp.clip(x0, -clip, clip)


def clip_x0(
    process: GaussianProcess,
    prediction: Prediction,
    x: Float[Array, "b *event"],
    t: ArrayLike,
    clip: Clip,
    recompute_eps: bool = True,
) -> Prediction:
    """Clip the predicted x0 and recompute eps from it.

    Args:
        process: the Gaussian process.
        prediction: what the denoiser predicts at x_t = x.
        x: noisy state (B, *event).
        t: time in [0, 1], () or (B,).
        clip: a number for [−clip, clip], a function x0 -> x0, or None, which leaves the prediction unchanged.
        recompute_eps: whether eps becomes (x − alpha x0)/sigma of the clipped x0.

    Returns:
        The clipped prediction.

    Raises:
        ValueError: if clip is not positive and finite, or a concrete t is outside [0, 1].
    """
    clip = clip_function(clip)
    if clip is None:
        return prediction
    x0 = clip(prediction.x0)
    return prediction._replace(x0=x0, eps=to_x0_eps(process, "x0", x0, x, t).eps if recompute_eps else prediction.eps)


def dynamic_threshold(quantile: float = 0.995, bound: float = 1.0) -> Callable[[Array], Array]:
    """A clip that adapts to each example: clip x0 at a quantile of its |x0|, then rescale it to [−bound, bound].

    An example whose quantile is below `bound` is only clipped to [−bound, bound].

    Args:
        quantile: the quantile of |x0| over each example, in (0, 1].
        bound: the bound of the result, positive.

    Returns:
        A function x0 (B, *event) -> x0 (B, *event), to give as `clip`.

    Raises:
        ValueError: unless 0 < quantile ≤ 1 and bound > 0.

    Reference:
        Saharia et al. 2022, §2.3.
    """
    if not 0 < quantile <= 1 or not bound > 0:
        raise ValueError(f"need 0 < quantile <= 1 and bound > 0, got quantile={quantile}, bound={bound}")

    def threshold(x0: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        magnitude = jnp.abs(x0).reshape(x0.shape[0], -1)
        limit = per_example(jnp.maximum(jnp.quantile(magnitude, quantile, axis=-1), bound), x0)
        return jnp.clip(x0, -limit, limit) * (bound / limit)

    return threshold
