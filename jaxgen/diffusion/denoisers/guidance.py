"""Guidance, denoiser -> denoiser: towards a condition, towards a classifier's answer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import per_example, safe_divide
from jaxgen.diffusion.denoisers._denoiser import Clip, Denoiser, as_function, bind
from jaxgen.diffusion.denoisers.prediction import Prediction, to_x0_eps
from jaxgen.diffusion.processes.process import GaussianProcess, as_time, checked_time


def classifier_free(
    process: GaussianProcess,
    denoise: Denoiser,
    cond: Any,
    null: Any,
    scale: ArrayLike,
    *,
    interval: tuple[ArrayLike, ArrayLike] | None = None,
    rescale: ArrayLike = 0.0,
    clip: Clip = None,
) -> Denoiser:
    """eps_u + scale (eps_c − eps_u), and x0 alike: 0 is unconditional, 1 conditional, more is guided.

    Ho & Salimans 2022, eq. 6, whose w is scale − 1. The score is that of p_t(x)^{1−scale} p_t(x | c)^scale at each t,
    which no diffusion of any data has at every t: the samples' law depends on the sampler. One call of the network, of
    twice the batch. The result's own `cond` replaces cond; the learned variance is the conditional one.

    cond, null: the same pytree, null being what training put in a condition's place, see `drop_condition`. Leaves are
    () or (B, ...) and broadcast against each other, so a null may be that of one example. scale: () or (B,), traced or
    not. interval: (low, high] of noise levels sigma/alpha outside which the conditional prediction is left as it is
    (Kynkäänniemi et al. 2024), about (.2, 2] for images; so stated it means the same under every process. The jump at
    its ends makes an adaptive solver take small steps there, and it saves no call. rescale: φ in [0, 1] of Lin et al.
    2024, §3.4, which brings each example's std of x0 back towards that of the conditional x0 (about .7), whatever
    the network predicts. clip: bounds the guided x0, as `denoiser` does; one inside bounds each half, not what is
    extrapolated from them.

    Raises ValueError for pytrees that differ or have no leaves, leaves that do not fit the batch, a scale of another
    shape, an interval that is not two numbers ascending from 0 or more, a rescale outside [0, 1], and a clip that is
    not positive.
    """
    _check_same_tree(cond, null)
    bound_cond, clip = cond, as_function(clip)
    two = interval is None or (hasattr(interval, "__len__") and len(interval) == 2)
    if not two or (interval is not None and _concrete(interval) and not 0 <= interval[0] < interval[1]):
        raise ValueError(f"interval must be (low, high) of sigma/alpha with 0 <= low < high, got {interval}")
    if _concrete(rescale) and not 0 <= rescale <= 1:
        raise ValueError(f"rescale is a share in [0, 1] (0 none, 0.7 as published), got {rescale}")

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> Prediction:
        batch, t = x.shape[0], jnp.broadcast_to(checked_time(t), x.shape[:1])
        if jnp.shape(scale) not in ((), (batch,)):
            raise ValueError(f"scale must have shape () or ({batch},), one per example, got {jnp.shape(scale)}")
        _check_same_tree(cond, null)
        both = jax.tree.map(lambda c, n: _stack(c, n, batch), cond, null)
        prediction = denoise(jnp.concatenate([x, x]), jnp.concatenate([t, t]), cond=both)
        weight = jnp.broadcast_to(as_time(scale), t.shape)
        if interval is not None:
            low, high = (-2 * jnp.log(as_time(end)) for end in interval)
            log_snr = process.log_snr(t)
            weight = jnp.where((log_snr < low) & (log_snr >= high), weight, 1)
        weight = per_example(weight, x)
        # in this form, unlike Ho & Salimans's, scales of 0 and 1 give either half to the last digit
        x0, eps = (weight * half[:batch] + (1 - weight) * half[batch:] for half in prediction[:2])
        fraction = None if prediction.variance_interpolation is None else prediction.variance_interpolation[:batch]
        if not _concrete(rescale) or rescale > 0:
            ratio = _ratio_of_std(prediction.x0[:batch], x0)
            x0 = (rescale * per_example(ratio, x0) + (1 - rescale)) * x0
            eps = to_x0_eps(process, "x0", x0, x, t).eps
        return clip_x0(process, Prediction(x0, eps, fraction), x, t, clip)

    return guided


def drop_condition(key: Key[Array, ""], cond: Any, null: Any, probability: ArrayLike) -> Any:
    """cond with null in the place of whole examples, each with this probability: how one network learns both scores.

    Ho & Salimans 2022, algorithm 1 (about .1). cond: a pytree of (B, ...) arrays, dropped together; null: the same
    pytree, as `classifier_free` takes it. Raises ValueError for pytrees that differ or have no leaves, leaves without
    one common leading axis, a null that cond's dtype cannot hold (−1 among unsigned labels; a traced one passes), or a
    probability outside [0, 1].
    """
    _check_same_tree(cond, null)
    if _concrete(probability) and not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")
    cond = jax.tree.map(jnp.asarray, cond)
    axes = {leaf.shape[:1] for leaf in jax.tree.leaves(cond)}
    if len(axes) != 1 or axes == {()}:
        raise ValueError(f"cond must be arrays (B, ...) of one batch, got leading axes {sorted(axes)}")
    jax.tree.map(_check_null_fits, cond, null)
    dropped = jax.random.bernoulli(key, probability, axes.pop())
    return jax.tree.map(lambda c, n: jnp.where(per_example(dropped, c), n, c).astype(c.dtype), cond, null)


def classifier(
    process: GaussianProcess,
    denoise: Denoiser,
    log_prob: Callable[[Array, Array], Array],
    scale: ArrayLike = 1.0,
    *,
    clip: Clip = None,
) -> Denoiser:
    """The score with scale ∇ log p(y | x_t) added: eps − scale sigma ∇, x0 + scale sigma²/alpha ∇.

    Dhariwal & Nichol 2021, algorithm 2 (eq. 14); Song et al. 2021, eq. 14. log_prob: (x (B, *event), t (B,)) -> (B,),
    the log-probability of the wanted answer by a classifier trained on x_t at all t; each row of its own x alone. scale
    1 samples p(x | y) where both are exact, () or (B,). At alpha = 0, where x_t says nothing of y, nothing is added;
    close to it any error of ∇ is carried to x0 with sigma²/alpha, so a clip is wise. clip: as of `classifier_free`.
    One network call and a gradient of the classifier. The result's `cond` and the learned variance are denoise's.

    Raises ValueError for a scale or log_prob of another shape and a clip that is not positive.
    """
    clip = as_function(clip)

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(checked_time(t), x.shape[:1])
        if jnp.shape(scale) not in ((), t.shape):
            raise ValueError(f"scale must have shape () or {t.shape}, one per example, got {jnp.shape(scale)}")

        def total(x: Array) -> Array:
            answer = log_prob(x, t)
            if answer.shape != t.shape:
                raise ValueError(f"log_prob must return one number per example, shape {t.shape}, got {answer.shape}")
            return answer.sum()

        gradient = per_example(scale, x) * jax.grad(total)(x)
        prediction = add_to_score(process, bind(denoise, cond)(x, t), gradient, t)
        return clip_x0(process, prediction, x, t, clip)

    return guided


def add_to_score(
    process: GaussianProcess, prediction: Prediction, gradient: Float[Array, "b *event"], t: ArrayLike
) -> Prediction:
    """The prediction whose score is greater by `gradient`, at t, () or (B,); unchanged where alpha = 0."""
    alpha, sigma = per_example(process.alpha(t), gradient), per_example(process.sigma(t), gradient)
    gradient = jnp.where(alpha == 0, 0, gradient)
    return prediction._replace(
        x0=prediction.x0 + safe_divide(sigma**2 * gradient, alpha), eps=prediction.eps - sigma * gradient
    )


def clip_x0(
    process: GaussianProcess,
    prediction: Prediction,
    x: Float[Array, "b *event"],
    t: ArrayLike,
    clip: Callable[[Array], Array] | None,
) -> Prediction:
    """The prediction with x0 clipped and eps made to agree with it; unchanged without a clip."""
    if clip is None:
        return prediction
    x0 = clip(prediction.x0)
    return prediction._replace(x0=x0, eps=to_x0_eps(process, "x0", x0, x, t).eps)


def _stack(cond: ArrayLike, null: ArrayLike, batch: int) -> Array:
    cond, null = jnp.asarray(cond), jnp.asarray(null)
    shape = np.broadcast_shapes(cond.shape, null.shape) or (batch,)
    if shape[0] not in (1, batch):
        raise ValueError(
            f"leaves of cond must have shape () or ({batch}, ...), one row per example, and those of null fit them: "
            f"got {cond.shape} and {null.shape}"
        )
    shape = (batch, *shape[1:])
    return jnp.concatenate([jnp.broadcast_to(cond, shape), jnp.broadcast_to(null, shape)])


def _ratio_of_std(wanted: Float[Array, "b *event"], found: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """std(wanted)/std(found) over each event; 1 where the latter is 0, so that single numbers stay as they are."""

    def std(x: Array) -> Array:
        variance = x.reshape(x.shape[0], -1).var(-1)
        # a root of 0 has no derivative
        return jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))

    spread = std(found)
    return jnp.where(spread == 0, 1, safe_divide(std(wanted), spread))


def _check_null_fits(cond: Array, null: ArrayLike) -> None:
    if isinstance(null, jax.core.Tracer):
        return
    null = np.asarray(null)
    with np.errstate(all="ignore"):
        held = null.astype(cond.dtype).astype(null.dtype)
    # a label must be held exactly, a number but to its rounding
    exact = not jnp.issubdtype(cond.dtype, jnp.inexact)
    if not (np.array_equal(held, null) if exact else np.allclose(held, null, rtol=0.01, equal_nan=True)):
        raise ValueError(f"null {null} does not fit cond's dtype {cond.dtype}: give cond a dtype that holds both")


def _check_same_tree(cond: Any, null: Any) -> None:
    if not jax.tree.leaves(cond):
        raise ValueError(f"there is no condition to guide towards or to drop: cond is {cond!r}, without any array")
    if jax.tree.structure(cond) != jax.tree.structure(null):
        raise ValueError(
            f"null must be the same pytree as cond, {jax.tree.structure(cond)}, got {jax.tree.structure(null)}: give "
            "what stood for a dropped condition in training, e.g. num_classes for labels"
        )


def _concrete(value: Any) -> bool:
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))
