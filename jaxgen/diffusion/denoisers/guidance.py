"""Guidance, denoiser -> denoiser: classifier-free, and by the gradient of a classifier."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import as_float, is_traced, per_example, safe_divide
from jaxgen.diffusion.denoisers._denoiser import Denoiser, bind, evaluate
from jaxgen.diffusion.denoisers.clipping import Clip, clip_function, clip_x0
from jaxgen.diffusion.denoisers.prediction import Prediction, to_x0_eps
from jaxgen.diffusion.processes.process import GaussianProcess, validate_time

__all__ = ["classifier", "classifier_free", "drop_condition"]


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
    """Classifier-free guidance: eps_u + scale (eps_c − eps_u), and the same for x0.

    scale 0 gives the unconditional prediction, 1 the conditional one, and more is guided. (Ho & Salimans's w is
    scale − 1.) The guided score at t is that of p_t(x)^{1−scale} p_t(x | c)^scale. No diffusion of any data has these
    densities at all t, so the law of the samples depends on the sampler. One call of the network, with twice the batch.

    Args:
        process: the Gaussian process.
        denoise: a denoiser of a network trained with `drop_condition`.
        cond: the condition, a pytree of arrays () or (B, ...).
        null: the same pytree, with what replaced a dropped condition in training. Its leaves broadcast against cond's.
        scale: the guidance scale, () or (B,), traced or not.
        interval: guide only at noise levels sigma/alpha in (low, high], for images about (.2, 2]. Outside it the
            prediction is the conditional one. The jumps at its ends make an adaptive solver take small steps there, and
            no network call is saved.
        rescale: φ in [0, 1], which moves each example's std of x0 towards that of the conditional x0, for images
            about .7. It acts on x0 whatever the network predicts.
        clip: bound on the guided x0, as in `denoiser`. A clip of `denoise` bounds each half instead.

    Returns:
        The guided denoiser. Its own `cond` replaces cond. Its learned variance is the conditional one.

    Raises:
        ValueError: if cond and null differ in structure or have no leaves, interval is not (low, high) with
            0 ≤ low < high, rescale is outside [0, 1], or clip is not positive and finite; when called, if scale has
            another shape, leaves do not fit the batch, or a concrete t is outside [0, 1].
        TypeError: if `denoise` is a bare network, when called.

    Reference:
        Ho & Salimans 2022, eq. 6; interval: Kynkäänniemi et al. 2024; rescale: Lin et al. 2024, §3.4.
    """
    _check_same_tree(cond, null)
    bound_cond, clip = cond, clip_function(clip)
    is_pair = interval is None or (hasattr(interval, "__len__") and len(interval) == 2)
    if not is_pair or (interval is not None and not is_traced(interval) and not 0 <= interval[0] < interval[1]):
        raise ValueError(f"interval must be (low, high) of sigma/alpha with 0 <= low < high, got {interval}")
    if not is_traced(rescale) and not 0 <= rescale <= 1:
        raise ValueError(f"rescale must lie in [0, 1] (0 none, 0.7 as published), got {rescale}")

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> Prediction:
        batch, t = x.shape[0], jnp.broadcast_to(validate_time(t), x.shape[:1])
        if jnp.shape(scale) not in ((), (batch,)):
            raise ValueError(f"scale must have shape () or ({batch},), one per example, got {jnp.shape(scale)}")
        _check_same_tree(cond, null)
        both = jax.tree.map(lambda c, n: _stack(c, n, batch), cond, null)
        prediction = evaluate(denoise, jnp.concatenate([x, x]), jnp.concatenate([t, t]), cond=both)
        weight = jnp.broadcast_to(as_float(scale), t.shape)
        if interval is not None:
            low, high = (-2 * jnp.log(as_float(end)) for end in interval)
            log_snr = process.log_snr(t)
            weight = jnp.where((log_snr < low) & (log_snr >= high), weight, 1)
        weight = per_example(weight, x)
        # unlike Ho & Salimans's form, this one is exact at scales 0 and 1
        x0, eps = (weight * half[:batch] + (1 - weight) * half[batch:] for half in prediction[:2])
        fraction = None if prediction.variance_interpolation is None else prediction.variance_interpolation[:batch]
        if is_traced(rescale) or rescale > 0:
            ratio = _ratio_of_std(prediction.x0[:batch], x0)
            x0 = (rescale * per_example(ratio, x0) + (1 - rescale)) * x0
            eps = to_x0_eps(process, "x0", x0, x, t).eps
        return clip_x0(process, Prediction(x0, eps, fraction), x, t, clip)

    return guided


def drop_condition(key: Key[Array, ""], cond: Any, null: Any, probability: ArrayLike) -> Any:
    """Replace the condition of random examples by null, so that one network learns both scores.

    Args:
        key: one key.
        cond: the condition, a pytree of arrays (B, ...). All leaves of an example are dropped together.
        null: the same pytree, as `classifier_free` takes it.
        probability: of dropping an example's condition, in [0, 1], usually about .1.

    Returns:
        cond with null in place of the dropped examples, in cond's dtypes.

    Raises:
        ValueError: if cond and null differ in structure or have no leaves, leaves of cond have no common leading axis,
            cond's dtype cannot hold a concrete null (such as −1 for unsigned labels), or probability is outside [0, 1].

    Reference:
        Ho & Salimans 2022, algorithm 1.
    """
    _check_same_tree(cond, null)
    if not is_traced(probability) and not 0 <= probability <= 1:
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
    """Classifier guidance: add scale ∇ log p(y | x_t) to the score.

    That is eps − scale sigma ∇ and x0 + scale (sigma²/alpha) ∇. At scale 1 the samples are of p(x | y) if denoiser and
    classifier are exact. Nothing is added at alpha = 0, where x_t is independent of y. Close to it, sigma²/alpha
    amplifies any error of the gradient in x0, so use a clip. One network call and one gradient of the classifier.

    Args:
        process: the Gaussian process.
        denoise: the denoiser.
        log_prob: (x (B, *event), t (B,)) -> (B,), the log-probability of the wanted class by a classifier trained on
            x_t at all t. Each row must depend on its own x alone.
        scale: the guidance scale, () or (B,).
        clip: bound on the guided x0, as in `denoiser`.

    Returns:
        The guided denoiser. Its `cond` and its learned variance are those of `denoise`.

    Raises:
        ValueError: if clip is not positive and finite; when called, if scale or the result of log_prob has another
            shape, or a concrete t is outside [0, 1].
        TypeError: if `denoise` is a bare network, when called.

    Reference:
        Dhariwal & Nichol 2021, algorithm 2 (eq. 14); Song et al. 2021, eq. 14.
    """
    clip = clip_function(clip)

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(validate_time(t), x.shape[:1])
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
    """Add `gradient` to the score of a prediction at t, () or (B,); unchanged where alpha = 0."""
    alpha, sigma = per_example(process.alpha(t), gradient), per_example(process.sigma(t), gradient)
    gradient = jnp.where(alpha == 0, 0, gradient)
    return prediction._replace(
        x0=prediction.x0 + safe_divide(sigma**2 * gradient, alpha), eps=prediction.eps - sigma * gradient
    )


def _stack(cond: ArrayLike, null: ArrayLike, batch: int) -> Array:
    cond, null = jnp.asarray(cond), jnp.asarray(null)
    shape = np.broadcast_shapes(cond.shape, null.shape) or (batch,)
    if shape[0] not in (1, batch):
        raise ValueError(
            f"leaves of cond must have shape () or ({batch}, ...), one row per example, and broadcast against null's: "
            f"got {cond.shape} and {null.shape}"
        )
    shape = (batch, *shape[1:])
    return jnp.concatenate([jnp.broadcast_to(cond, shape), jnp.broadcast_to(null, shape)])


def _ratio_of_std(wanted: Float[Array, "b *event"], found: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """std(wanted)/std(found) over each event; 1 where the latter is 0, as for an event of one number."""

    def std(x: Array) -> Array:
        variance = x.reshape(x.shape[0], -1).var(-1)
        # the root's derivative at 0 is infinite
        return jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))

    spread = std(found)
    return jnp.where(spread == 0, 1, safe_divide(std(wanted), spread))


def _check_null_fits(cond: Array, null: ArrayLike) -> None:
    if is_traced(null):
        return
    null = np.asarray(null)
    with np.errstate(all="ignore"):
        held = null.astype(cond.dtype).astype(null.dtype)
    # an integer label must be exact; a real number may round
    exact = not jnp.issubdtype(cond.dtype, jnp.inexact)
    if not (np.array_equal(held, null) if exact else np.allclose(held, null, rtol=0.01, equal_nan=True)):
        raise ValueError(f"null {null} does not fit cond's dtype {cond.dtype}: give cond a dtype that holds both")


def _check_same_tree(cond: Any, null: Any) -> None:
    if not jax.tree.leaves(cond):
        raise ValueError(f"there is no condition to guide towards or to drop: cond={cond!r} has no arrays")
    if jax.tree.structure(cond) != jax.tree.structure(null):
        raise ValueError(
            f"null must be the same pytree as cond, {jax.tree.structure(cond)}, got {jax.tree.structure(null)}: give "
            "the value that replaced a dropped condition in training, e.g. num_classes for labels"
        )
