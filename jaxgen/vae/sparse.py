"""Sparse coding by ISTA, FISTA and learned ISTA, and measures of sparsity.

A dictionary D (n, m) has its m atoms as columns: x (…, n) ≈ z Dᵀ with the code z (…, m).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_not_negative, check_positive, is_traced

# at the default precision accelerators round the factors, and a recursion accumulates the errors
_matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def soft_threshold(x: Float[Array, "..."], threshold: ArrayLike) -> Float[Array, "..."]:
    """The proximal map sign(x) max(|x| − θ, 0) of θ|x|.

    Args:
        x: any shape.
        threshold: θ ≥ 0, of a shape that broadcasts with x.

    Returns:
        The result, of the broadcast shape.
    """
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0)


def lasso(
    x: Float[Array, "*batch n"], dictionary: Float[Array, "n m"], z: Float[Array, "*batch m"], penalty: ArrayLike
) -> Float[Array, "*batch"]:
    """The objective ½‖x − Dz‖² + λ‖z‖₁ of sparse coding.

    Args:
        x: signals (…, n).
        dictionary: D (n, m).
        z: codes (…, m).
        penalty: λ ≥ 0, () or (m,).

    Returns:
        The objective (…).
    """
    return 0.5 * ((x - _matmul(z, dictionary.T)) ** 2).sum(-1) + (penalty * jnp.abs(z)).sum(-1)


def lipschitz(dictionary: Float[Array, "n m"]) -> Float[Array, ""]:
    """The Lipschitz constant λ_max(DᵀD), the smallest c for which steps of 1/c always descend; no gradient passes.

    Args:
        dictionary: D (n, m).

    Returns:
        The constant ().
    """
    dictionary = jax.lax.stop_gradient(dictionary)
    rows, columns = dictionary.shape
    gram = _matmul(dictionary, dictionary.T) if rows < columns else _matmul(dictionary.T, dictionary)
    return jnp.linalg.eigvalsh(gram)[-1]


def unit_atoms(dictionary: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Scale the atoms to length 1, so that a dictionary cannot lower the penalty on the codes by growing.

    Args:
        dictionary: D (n, m). An atom of zeros stays as it is.

    Returns:
        The scaled dictionary (n, m).
    """
    square = (dictionary**2).sum(0)
    return dictionary / jnp.sqrt(jnp.where(square == 0, 1, square))  # an atom of zeros stays 0, with a finite gradient


def ista(
    x: Float[Array, "*batch n"],
    dictionary: Float[Array, "n m"],
    penalty: ArrayLike,
    *,
    steps: int,
    c: ArrayLike | None = None,
    start: Float[Array, "*batch m"] | None = None,
) -> Float[Array, "*batch m"]:
    """Iterative shrinkage-thresholding: steps z ← soft(z + Dᵀ(x − Dz)/c, λ/c), each of which lowers `lasso`.

    It is differentiable. With a learned D and c it is the tied learned ISTA of SC-VAE (Xiao et al. 2023).

    Args:
        x: signals (…, n).
        dictionary: D (n, m).
        penalty: λ ≥ 0, () or (m,).
        steps: the number of steps ≥ 0.
        c: the inverse step size, at least `lipschitz(dictionary)`, the default, which costs an eigenvalue problem.
        start: the first z (…, m), 0 by default.

    Returns:
        Codes (…, m).

    Raises:
        ValueError: if steps < 0, a concrete penalty is negative or not finite, a concrete c is too small for a concrete
            dictionary, or the dictionary is not (n, m).

    Reference:
        Daubechies et al. 2004; Beck & Teboulle 2009, eq. 1.4.
    """
    shrink, z = _iteration(x, dictionary, penalty, steps, c, start)
    return jax.lax.fori_loop(0, steps, lambda _, z: shrink(z), z)


def fista(
    x: Float[Array, "*batch n"],
    dictionary: Float[Array, "n m"],
    penalty: ArrayLike,
    *,
    steps: int,
    c: ArrayLike | None = None,
    start: Float[Array, "*batch m"] | None = None,
) -> Float[Array, "*batch m"]:
    """`ista` with momentum: the error falls as 1/steps² instead of 1/steps, though not at every step.

    Args:
        x: signals (…, n).
        dictionary: D (n, m).
        penalty: λ ≥ 0, () or (m,).
        steps: the number of steps ≥ 0.
        c: as in `ista`.
        start: the first z (…, m), 0 by default.

    Returns:
        Codes (…, m).

    Raises:
        ValueError: as `ista` does.

    Reference:
        Beck & Teboulle 2009, eq. 4.1–4.3.
    """
    shrink, z = _iteration(x, dictionary, penalty, steps, c, start)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        z, ahead, t = state
        following, longer = shrink(ahead), (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return following, following + (t - 1) / longer * (following - z), longer

    return jax.lax.fori_loop(0, steps, step, (z, z, jnp.ones((), z.dtype)))[0]


def _iteration(x, dictionary, penalty, steps, c, start):
    """The map z -> soft(z S + x D/c, λ/c) with S = I − DᵀD/c, and its start."""
    if dictionary.ndim != 2 or dictionary.shape[0] != x.shape[-1]:
        raise ValueError(f"a dictionary for x (…, {x.shape[-1]}) has shape ({x.shape[-1]}, m), got {dictionary.shape}")
    check_at_least(0, steps=steps)
    check_not_negative(penalty=penalty)
    c = _checked_c(dictionary, c)
    into, lateral, threshold = dictionary / c, _lateral(dictionary, c), penalty / c
    drive = _matmul(x, into)
    z = jnp.zeros_like(drive) if start is None else start.astype(drive.dtype)
    return lambda z: soft_threshold(_matmul(z, lateral) + drive, threshold), z


class Lista(NamedTuple):
    """The parameters of learned ISTA: E (n, m), S (m, m), and log θ (m,)."""

    encoder: Float[Array, "n m"]
    lateral: Float[Array, "m m"]
    log_threshold: Float[Array, " m"]


def init_lista(dictionary: Float[Array, "n m"], penalty: ArrayLike, c: ArrayLike | None = None) -> Lista:
    """The parameters at which `lista` equals `ista`: E = D/c, S = I − DᵀD/c, θ = λ/c.

    Args:
        dictionary: D (n, m).
        penalty: λ > 0, () or (m,).
        c: as in `ista`.

    Returns:
        The parameters.

    Raises:
        ValueError: if a concrete penalty is not positive and finite, or a concrete c is too small for a concrete
            dictionary.

    Reference:
        Gregor & LeCun 2010, §3.1.
    """
    check_positive(penalty=penalty)
    c = _checked_c(dictionary, c)
    log_threshold = jnp.broadcast_to(jnp.log(penalty / c), dictionary.shape[1:])
    return Lista(dictionary / c, _lateral(dictionary, c), log_threshold.astype(dictionary.dtype))


def lista(params: Lista, x: Float[Array, "*batch n"], *, steps: int) -> Float[Array, "*batch m"]:
    """Learned ISTA: `steps` of z ← soft(z S + x E, θ) from 0, with parameters shared by all steps.

    Args:
        params: the parameters, as `init_lista` makes them.
        x: signals (…, n).
        steps: the number of steps ≥ 0.

    Returns:
        Codes (…, m).

    Raises:
        ValueError: if steps < 0.

    Reference:
        Gregor & LeCun 2010, eq. 4.
    """
    check_at_least(0, steps=steps)
    drive, threshold = _matmul(x, params.encoder), jnp.exp(params.log_threshold)
    step = lambda _, z: soft_threshold(_matmul(z, params.lateral) + drive, threshold)  # noqa: E731
    return jax.lax.fori_loop(0, steps, step, jnp.zeros_like(drive))


def zero_fraction(z: Float[Array, "*batch m"]) -> Float[Array, "*batch"]:
    """The fraction of the entries of each code that are exactly 0.

    Args:
        z: codes (…, m).

    Returns:
        The fraction (…), in [0, 1].
    """
    return (z == 0).mean(-1)


def hoyer(z: Float[Array, "*batch m"]) -> Float[Array, "*batch"]:
    """Hoyer's sparsity (√m − ‖z‖₁/‖z‖₂)/(√m − 1): 0 if all |z_i| are equal, 1 if only one is not 0 (Hoyer 2004, §3.1).

    It is undefined for a code of zeros, which counts as 1.

    Args:
        z: codes (…, m), m ≥ 2.

    Returns:
        The sparsity (…), in [0, 1].

    Raises:
        ValueError: if codes have fewer than two entries.
    """
    size = z.shape[-1]
    if size < 2:
        raise ValueError(f"the sparsity of a code needs at least two entries, got {size}")
    largest = jnp.abs(z).max(-1, keepdims=True)
    scaled = jnp.abs(z) / jnp.where(largest == 0, 1, largest)  # so that squares neither overflow nor vanish
    ratio = scaled.sum(-1) / jnp.sqrt(jnp.where(largest[..., 0] == 0, 1, (scaled**2).sum(-1)))
    return jnp.where(largest[..., 0] == 0, 1, (math.sqrt(size) - ratio) / (math.sqrt(size) - 1))


def _lateral(dictionary: Array, c: ArrayLike) -> Float[Array, "m m"]:
    return jnp.eye(dictionary.shape[1], dtype=dictionary.dtype) - _matmul(dictionary.T, dictionary) / c


def _checked_c(dictionary: Array, c: ArrayLike | None) -> ArrayLike:
    if c is None:
        return lipschitz(dictionary)
    if not is_traced(dictionary, c):
        least = np.linalg.norm(np.asarray(dictionary, np.float64), 2) ** 2
        if not np.all(np.asarray(c) >= least * (1 - 1e-5)):
            raise ValueError(f"steps of 1/c descend for c >= {least:.6g}, the largest eigenvalue of DᵀD; got {c}")
    return c
