"""The Dirac-GAN: the smallest game in which training methods differ, with the remedies of the literature."""

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from jaxgen.core import check_not_negative
from jaxgen.gan.dynamics import Field, consensus_field, game_field
from jaxgen.gan.losses import AdversarialLoss, minimax, non_saturating, wasserstein
from jaxgen.gan.penalties import Penalty, gradient_penalty, r1, r2

DiracVariant = Literal[
    "unregularised", "wgan", "wgan_gp", "non_saturating", "instance_noise", "r1", "r1_r2", "consensus"
]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def dirac_gan(loss: AdversarialLoss | None = None, penalties: Sequence[Penalty] = (), noise: ArrayLike = 0.0) -> Field:
    """The vector field of the Dirac-GAN, whose data are at 0, generator at θ, and critic linear with slope ψ.

    The critic's logit is −ψx. With the minimax loss both losses are ±(f(ψθ) + f(0)), f(t) = −log(1 + e^{−t}), and the
    field is v = (−ψ f′(ψθ), θ f′(ψθ)). The only equilibrium is (0, 0).

    Args:
        loss: the adversarial loss; `minimax()` by default.
        penalties: the critic's penalties. They are evaluated without noise.
        noise: standard deviation σ ≥ 0 of the instance noise, (). Expectations over it are Gauss–Hermite sums of 40
            nodes.

    Returns:
        A field of `Players` (θ, ψ), each (). It computes in their dtype.

    Raises:
        ValueError: if a concrete noise is negative or not finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", definition 2.1.
    """
    check_not_negative(noise=noise)
    loss = minimax() if loss is None else loss

    def expected_loss(player: Literal["generator", "critic"], theta: Array, psi: Array) -> Float[Array, ""]:
        eps, weights = jnp.asarray(_NODES, psi.dtype), jnp.asarray(_WEIGHTS / _WEIGHTS.sum(), psi.dtype)
        real = jnp.asarray(noise, psi.dtype) * eps
        return weights @ getattr(loss, player)(-psi * real, -psi * (theta + real))

    def penalty(theta: Array, psi: Array) -> Float[Array, ""]:
        arguments = jax.random.key(0), lambda x: -psi * x, jnp.zeros(1, psi.dtype), theta[None]
        return sum((penalty(*arguments).sum() for penalty in penalties), jnp.zeros((), psi.dtype))

    return game_field(
        lambda theta, psi: expected_loss("generator", theta, psi),
        lambda theta, psi: expected_loss("critic", theta, psi) + penalty(theta, psi),
    )


def dirac_variant(
    variant: DiracVariant, *, gamma: ArrayLike = 1.0, sigma: ArrayLike = 1.0, target: ArrayLike = 1.0
) -> Field:
    """The Dirac-GAN under one of eight training methods.

    Args:
        variant: "unregularised", "wgan", "wgan_gp" (γ/2 (|ψ| − g₀)²), "non_saturating", "instance_noise", "r1"
            (γ/2 ψ²), "r1_r2" (γ ψ²) or "consensus".
        gamma: strength γ ≥ 0 of the penalties and of consensus, (). It may be traced, as the next two.
        sigma: standard deviation σ ≥ 0 of the instance noise, ().
        target: the norm g₀ ≥ 0 of WGAN-GP, ().

    Returns:
        A field of `Players` (θ, ψ), each ().

    Raises:
        ValueError: if the variant is unknown, or a concrete number is negative or not finite, be it used or not.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", §3 and §4.
    """
    check_not_negative(gamma=gamma, sigma=sigma, target=target)
    match variant:
        case "unregularised":
            return dirac_gan()
        case "wgan":
            return dirac_gan(wasserstein())
        case "wgan_gp":
            return dirac_gan(wasserstein(), [gradient_penalty(gamma / 2, target)])
        case "non_saturating":
            return dirac_gan(non_saturating())
        case "instance_noise":
            return dirac_gan(noise=sigma)
        case "r1":
            return dirac_gan(penalties=[r1(gamma)])
        case "r1_r2":
            return dirac_gan(penalties=[r1(gamma), r2(gamma)])
        case "consensus":
            return consensus_field(dirac_gan(), gamma)
    raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(get_args(DiracVariant))}")


def dirac_eigenvalues(
    variant: DiracVariant, *, gamma: float | int = 1.0, sigma: float | int = 1.0
) -> Complex[np.ndarray, " 2"] | None:
    """The eigenvalues of a variant's flow at (0, 0) in closed form.

    Args:
        variant: as in `dirac_variant`.
        gamma: strength γ ≥ 0.
        sigma: standard deviation σ ≥ 0 of the instance noise.

    Returns:
        The two eigenvalues, in ascending order of their real and then imaginary parts. None for "wgan_gp", whose field
        has a kink at ψ = 0.

    Raises:
        ValueError: if the variant is unknown, or a number is negative or not finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", lemmas 2.3, 3.1 to 3.4, 4.1.
    """
    check_not_negative(gamma=gamma, sigma=sigma)
    slope, curvature = 0.5, -0.25  # f′(0) and f″(0)
    centre, rotation = 0.0, slope
    match variant:
        case "unregularised" | "non_saturating":
            pass
        case "wgan":
            rotation = 1.0
        case "wgan_gp":
            return None
        case "instance_noise":
            centre = curvature * sigma**2
        case "r1":
            centre = -gamma / 2
        case "r1_r2":
            centre = -gamma
        case "consensus":
            return np.sort_complex(-gamma * slope**2 + slope * np.array([-1j, 1j]))
        case _:
            raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(get_args(DiracVariant))}")
    root = np.sqrt(complex(centre**2 - rotation**2))
    return np.sort_complex(np.array([centre - root, centre + root]))
