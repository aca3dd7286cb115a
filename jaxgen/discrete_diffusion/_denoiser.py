"""Denoisers of tokens: what samplers, bounds and guidance take."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import as_float, check_choice
from jaxgen.diffusion import validate_time
from jaxgen.discrete_diffusion.process import CategoricalProcess

PredictionType = Literal["x0", "leave_one_out"]
TokenNetwork = Callable[[Array, Array, Any], Array]


class TokenPrediction(NamedTuple):
    """What a denoiser says of each clean token, as log-probabilities (B, *event, K).

    Attributes:
        log_x0: log p(x_0ˡ | x_t), the posterior.
        log_others: log p(x_0ˡ | x_t^{−l}), the leave-one-out law, which does not look at the noisy token itself.
    """

    log_x0: Float[Array, "b *event k"]
    log_others: Float[Array, "b *event k"]


@runtime_checkable
class TokenDenoiser(Protocol):
    """A function (x, t) -> TokenPrediction, with an optional `cond` that replaces its conditioning."""

    def __call__(self, x: Array, t: ArrayLike, cond: Any = ...) -> TokenPrediction:
        """Predict the clean tokens.

        Args:
            x: noisy tokens (B, *event).
            t: time in [0, 1], () or (B,).
            cond: replaces the denoiser's own conditioning.

        Returns:
            The prediction.
        """
        ...


def denoiser(
    process: CategoricalProcess, network: TokenNetwork, *, predicts: PredictionType = "x0", cond: Any = None
) -> TokenDenoiser:
    """Turn a network (x, t, cond) -> logits into a denoiser (x, t) -> TokenPrediction.

    The posterior of a token is ∝ its leave-one-out law times q(x_t | x_0), so each gives the other. Bounds and samplers
    need to know which one the network predicts: on uniform and ordinal chains the posterior in place of the
    leave-one-out law gives a wrong bound, even if it is exact. On absorbing chains the two are the same.

    Args:
        process: the process that the network was trained with.
        network: a function of tokens x (B, *event), t (B,) and cond. Its logits have shape (B, *event, K).
        predicts: which law the logits are of. A network that is trained by cross-entropy alone learns "x0".
        cond: conditioning passed to the network; a `cond` given to the denoiser replaces it.

    Returns:
        The denoiser.

    Raises:
        ValueError: if `predicts` is unknown; when called, if the logits have another shape, or a concrete t is outside
            [0, 1].

    Reference:
        Austin et al. 2021, §3.3, for "x0".

    Example:
        >>> process = discrete_diffusion.absorbing(27, discrete_diffusion.linear_schedule())
        >>> denoise = discrete_diffusion.denoiser(process, partial(net.apply, params))
        >>> log_x0, _ = denoise(tokens, 0.5)
    """
    check_choice(PredictionType, predicts=predicts)
    bound_cond = cond

    def denoise(x: Int[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> TokenPrediction:
        t = jnp.broadcast_to(validate_time(t), x.shape[:1])
        logits = network(x, t, cond)
        expected = (*x.shape, process.categories)
        if logits.shape != expected:
            raise ValueError(f"the network must return logits of shape {expected}, got {logits.shape}")
        log_p = jax.nn.log_softmax(as_float(logits))
        if predicts == "x0":
            return TokenPrediction(log_p, process.to_leave_one_out(log_p, x, t))
        return TokenPrediction(process.to_posterior(log_p, x, t), log_p)

    return denoise


def evaluate(denoise: TokenDenoiser, x: Int[Array, "b *event"], t: ArrayLike, **options: Any) -> TokenPrediction:
    """Call a denoiser of tokens, and check that it is one.

    Args:
        denoise: the denoiser.
        x: noisy tokens (B, *event).
        t: their times, () or (B,).
        **options: `cond`, where the denoiser's own conditioning is replaced.

    Returns:
        The prediction.

    Raises:
        TypeError: if `denoise` is no denoiser of tokens, such as a bare network.
    """
    try:
        inspect.signature(denoise).bind(x, t, **options)
    except TypeError as error:
        raise TypeError(f"{_NOT_A_DENOISER}; this function cannot be called so ({error})") from None
    prediction = denoise(x, t, **options)
    if not isinstance(prediction, TokenPrediction):
        raise TypeError(f"{_NOT_A_DENOISER}; this function returned {type(prediction).__name__}")
    return prediction


_NOT_A_DENOISER = (
    "need a denoiser (x, t) -> TokenPrediction: make one of a network by discrete_diffusion.denoiser(process, network)"
)
