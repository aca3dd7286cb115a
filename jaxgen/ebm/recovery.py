"""The loss function of diffusion recovery likelihood."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, PyTree

from jaxgen.core import check_at_least, check_not_negative, per_example
from jaxgen.diffusion import perturb
from jaxgen.ebm.energy import Model
from jaxgen.ebm.kernels import kernel_chain
from jaxgen.ebm.ladder import RecoveryLadder
from jaxgen.ebm.objectives import EnergyObjective, check_carried, check_gap, contrastive_losses, sample_chain, stopped


def recovery_likelihood(
    energy: Callable[..., Any],
    ladder: RecoveryLadder,
    *,
    steps: int = 30,
    adjusted: bool = False,
    weights: Float[ArrayLike, " levels"] | None = None,
    regularisation: ArrayLike = 0.0,
    data_noise: float = 0.0,
    max_gap: float = 1e3,
    energy_state: PyTree = None,
) -> EnergyObjective:
    """The loss function of diffusion recovery likelihood.

    Each example draws a level t, its y and x_t = y + σ ε. The likelihood of y given x_t is that of the kernel
    p(y | x_t) ∝ exp(−E(y, s) − ‖y − x_t‖²/2σ²), whose gradient is contrastive: the negative samples are ends of a chain
    in that kernel, which starts at x_t. A kernel of little noise is almost Gaussian, so short chains reach it.

    The optimum of every level is the marginal energy, −log density of y, up to a constant.

    Args:
        energy: (params, y, s) -> E (B,), for y (B, *event) and the times s (B,) of y. With an `energy_state` it is
            (params, y, s, state) -> (E (B,), state), as in `maximum_likelihood`.
        ladder: the levels and step sizes.
        steps: steps ≥ 1 of the chain.
        adjusted: accept or reject each step (`mcmc.mala`), which removes the error of long steps. Where an energy
            becomes too sharp for the step size, all proposals are rejected, and nothing pulls it back.
        weights: the weight of each level (T,), from the cleanest on; 1 by default. `ladder.published_weights` are those
            of the paper.
        regularisation: as in `maximum_likelihood`.
        data_noise: as in `maximum_likelihood`.
        max_gap: as in `maximum_likelihood`, of the weighted energies.
        energy_state: as in `maximum_likelihood`.

    Returns:
        The loss function and its carry. The metrics are `data_energy` and `sample_energy`. A batch is x0 (B, *event).

    Raises:
        ValueError: if steps < 1, weights are not of shape (T,) or negative, regularisation or data_noise is negative or
            not finite, or max_gap is not positive; at the first call, if the state was created without `carry`, or the
            energy does not return one value per example.

    Reference:
        Gao et al. 2021, "Learning energy-based models by diffusion recovery likelihood", algorithm 1.

    Example:
        ```python
        ladder = ebm.recovery_ladder(diffusion.from_betas(np.array([0.3, 0.6, 0.9])), np.array([0.02, 0.05, 0.05]))
        objective = ebm.recovery_likelihood(net.apply, ladder, steps=20)
        state = training.create_state(jax.random.key(0), params, optimizer, objective.carry)
        step = training.make_train_step(objective.loss, optimizer)
        ```
    """
    check_at_least(1, steps=steps)
    check_not_negative(regularisation=regularisation, data_noise=data_noise, weights=weights)
    check_gap(max_gap)
    if weights is not None and jnp.shape(weights) != (ladder.steps,):
        raise ValueError(f"weights must have one entry for each of {ladder.steps} levels, got {jnp.shape(weights)}")
    model = Model(energy, energy_state)

    def loss(
        key: Key[Array, ""], params: PyTree, x: Float[Array, "b *event"], **carried: PyTree
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        check_carried(model.carry, carried)
        keys = jax.random.split(key, 5)
        if data_noise:
            x = x + data_noise * jax.random.normal(keys[0], x.shape, x.dtype)

        # data: x0 -> y -> x_t
        level = jax.random.randint(keys[1], x.shape[:1], 1, ladder.steps + 1)
        t = level / ladder.steps
        s, forward = ladder.before(t), ladder.transition(t)
        x_s = perturb(ladder.process, x, s, jax.random.normal(keys[2], x.shape, x.dtype))
        y = (per_example(forward.alpha, x) * x_s).astype(x.dtype)
        eps = jax.random.normal(keys[3], x.shape, x.dtype)
        x_t = (y + per_example(jnp.sqrt(forward.variance), x) * eps).astype(x.dtype)

        # model: x_t -> y
        frozen = jax.lax.stop_gradient(params)
        state = model.advanced(frozen, carried, y, s)
        chain = kernel_chain(model.at(frozen, state, s), x_t, forward.variance, ladder.step_size(t), adjusted)
        negatives = sample_chain(jax.random.split(keys[4], len(x)), chain, x_t, steps)

        losses, metrics = contrastive_losses(model.at(params, state, s), y, negatives, regularisation=regularisation)
        weight = 1.0 if weights is None else jnp.asarray(weights, losses.dtype)[level - 1]
        return stopped(weight * losses, metrics, max_gap, weight), metrics, state

    return EnergyObjective(loss, model.carry)
