"""Denoisers: what samplers, solvers, guidance and scores take."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.diffusion.denoisers.clipping import Clip, clip_function, clip_x0
from jaxgen.diffusion.denoisers.prediction import Prediction, PredictionType, check_prediction_type, to_x0_eps
from jaxgen.diffusion.processes.process import GaussianProcess, validate_time

Network = Callable[[Array, Array, Any], Array]


@runtime_checkable
class Denoiser(Protocol):
    """A function (x, t) -> Prediction, with an optional `cond` that replaces its conditioning."""

    def __call__(self, x: Array, t: ArrayLike, cond: Any = ...) -> Prediction:
        """Predict x0 and eps.

        Args:
            x: noisy state (B, *event).
            t: time in [0, 1], () or (B,).
            cond: replaces the denoiser's own conditioning.

        Returns:
            The prediction.
        """
        ...


def denoiser(
    process: GaussianProcess,
    network: Network,
    *,
    predicts: PredictionType = "eps",
    cond: Any = None,
    clip: Clip = None,
    recompute_eps: bool = True,
    learned_variance: bool = False,
) -> Denoiser:
    """Turn a network (x, t, cond) -> output into a denoiser (x, t) -> Prediction.

    Args:
        process: the Gaussian process that the network was trained with.
        network: a function of x (B, *event), t (B,) and cond. Its output has x's shape.
        predicts: what the output is, "eps", "x0", "v", "score" or "velocity".
        cond: conditioning passed to the network; a `cond` given to the denoiser replaces it.
        clip: bound on x0, a number for [−clip, clip] or a function such as `dynamic_threshold()`.
        recompute_eps: whether eps is recomputed from the clipped x0, as in DDPM.
        learned_variance: the output has twice x's last axis, and its second half is Nichol & Dhariwal's v on [−1, 1].

    Returns:
        The denoiser.

    Raises:
        ValueError: if `predicts` is unknown, or not what a preconditioned network predicts, or clip is not positive and
            finite; when called, if the output has another shape, a concrete t is outside [0, 1], or predicts is
            "velocity" for a discrete process.

    Reference:
        Ho et al. 2020, §3.2; Nichol & Dhariwal 2021, eq. 15, for the learned variance.

    Example:
        >>> denoise = diffusion.denoiser(diffusion.vp(), partial(net.apply, params), predicts="v", clip=1.0)
        >>> x0, eps, _ = denoise(x, 0.5)
    """
    check_prediction_type(predicts, network)
    bound_cond, clip = cond, clip_function(clip)

    def denoise(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> Prediction:
        t = jnp.broadcast_to(validate_time(t), x.shape[:1])
        output = network(x, t, cond)
        expected = (*x.shape[:-1], 2 * x.shape[-1]) if learned_variance else x.shape
        if output.shape != expected:
            raise ValueError(f"with {learned_variance=} the network must return shape {expected}, got {output.shape}")
        fraction = None
        if learned_variance:
            output, logits = jnp.split(output, 2, axis=-1)
            fraction = (logits + 1) / 2
        prediction = to_x0_eps(process, predicts, output, x, t)._replace(variance_interpolation=fraction)
        return clip_x0(process, prediction, x, t, clip, recompute_eps)

    return denoise


def bind(denoise: Denoiser, cond: Any) -> Denoiser:
    """Bind conditioning to a denoiser, and check that what it returns is a Prediction.

    Args:
        denoise: the denoiser.
        cond: replaces the denoiser's own conditioning; None keeps that.

    Returns:
        A denoiser (x, t) -> Prediction. It raises TypeError when called if `denoise` is a bare network.
    """
    options = {} if cond is None else {"cond": cond}
    return lambda x, t: evaluate(denoise, x, t, **options)


def evaluate(denoise: Denoiser, x: Float[Array, "b *event"], t: ArrayLike, **options: Any) -> Prediction:
    """Call a denoiser, and check that it is one.

    It looks at Python types alone, so under `jax.jit` the check runs at trace time and costs nothing after.

    Args:
        denoise: the denoiser.
        x: states (B, *event).
        t: their times, () or (B,).
        **options: `cond`, where the denoiser's own conditioning is replaced.

    Returns:
        The prediction.

    Raises:
        TypeError: if `denoise` is no denoiser, such as a bare network.
    """
    try:
        inspect.signature(denoise).bind(x, t, **options)
    except TypeError as error:
        raise TypeError(f"{_NOT_A_DENOISER}; this function cannot be called so ({error})") from None
    prediction = denoise(x, t, **options)
    if not isinstance(prediction, Prediction):
        raise TypeError(f"{_NOT_A_DENOISER}; this function returned {type(prediction).__name__}")
    return prediction


_NOT_A_DENOISER = (
    "need a denoiser (x, t) -> Prediction: make one of a network by diffusion.denoiser(process, network, predicts=…)"
)
