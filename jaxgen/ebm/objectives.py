"""Maximum likelihood of an energy by contrastive gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, PyTree

from jaxgen.core import check_at_least, check_not_negative
from jaxgen.ebm.energy import Energy, MakeChain, Model, energies
from jaxgen.ebm.starts import ChainStarts
from jaxgen.mcmc import Chain, advance, positions


class EnergyObjective(NamedTuple):
    """A loss function for `training.make_train_step`, and the carry that its state needs.

    Attributes:
        loss: (key, params, x, **carry) -> (losses (B,), metrics, carry).
        carry: the initial carry, an argument of `training.create_state`: the replay buffer as `buffer`, and the
            energy's own state as `energy_state`. It is empty if there is neither.
    """

    loss: Callable[..., tuple[Array, dict[str, Array], dict[str, PyTree]]]
    carry: dict[str, PyTree]


def contrastive_losses(
    energy: Energy,
    x: Float[Array, "b *event"],
    negatives: Float[Array, "b *event"],
    *,
    regularisation: ArrayLike = 0.0,
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]]]:
    """E(x) − E(x⁻) + α (E(x)² + E(x⁻)²), whose gradient is that of the KL divergence if x⁻ are draws of the model.

        ∇KL(data ‖ e^{−E}/Z) = E_data[∇E] − E_model[∇E]

    The negatives are detached and their energies are not. Data are not detached, so that an encoder can learn through
    x. The value is no likelihood: it is near 0 where the model fits, and its gradient is what counts.

    Args:
        energy: E at the parameters that learn.
        x: data (B, *event).
        negatives: samples of the model (B, *event).
        regularisation: α ≥ 0, (), which keeps energies near 0. It moves the optimum, since it depends on x.

    Returns:
        The losses (B,), and the metrics `data_energy` and `sample_energy` (B,).

    Raises:
        ValueError: if the energy does not return one value per example, the shapes differ, or a concrete
            regularisation is negative or not finite.

    Reference:
        Hinton 2002; the regularisation: Du & Mordatch 2019, §3.4.
    """
    check_not_negative(regularisation=regularisation)
    if x.shape != negatives.shape:
        raise ValueError(f"data and negatives need one shape, got {x.shape} and {negatives.shape}")
    low, high = energies(energy, x), energies(energy, jax.lax.stop_gradient(negatives))
    losses = low - high + regularisation * (low**2 + high**2)
    return losses, {"data_energy": low, "sample_energy": high}


def maximum_likelihood(
    energy: Callable[..., Any],
    chain: MakeChain,
    starts: ChainStarts,
    *,
    steps: int,
    regularisation: ArrayLike = 0.0,
    data_noise: float = 0.0,
    max_gap: float = 1e3,
    energy_state: PyTree = None,
) -> EnergyObjective:
    """The loss function of maximum likelihood, with negative samples from Markov chains.

    Each step draws starts, runs `steps` steps of the chain in the energy as it is, and takes `contrastive_losses`. The
    gradient is exact where the chains have reached the model's density. For chains that are too short it is that of
    another problem; see `short_run_chains`.

    A run diverges when chains lag behind: energies then grow without end, but stay finite for long. So where the means
    of `data_energy` and `sample_energy` differ by more than `max_gap` nats, the losses are NaN, and `training.fit`
    stops at that step. More or longer steps of the chain, a lower learning rate, regularisation, a confining base
    (`tilted`) and smooth activations help.

    The metrics are `data_energy` and `sample_energy`, which should stay close to each other.

    Args:
        energy: (params, x) -> E (B,). With an `energy_state` it is (params, x, state) -> (E (B,), state), which is how
            spectral normalisation remembers its power iteration.
        chain: makes the chain of an energy, such as `langevin_chain(0.01)`, or for a Metropolis-adjusted one
            `lambda energy: mcmc.mala(lambda x: -energy(x), 0.01)`.
        starts: `persistent_chains(…)`, `short_run_chains(…)` or `data_chains()`.
        steps: steps ≥ 0 of the chain for each update.
        regularisation: α ≥ 0, as in `contrastive_losses`.
        data_noise: standard deviation ≥ 0 of noise that is added to the data, against sharp energies.
        max_gap: the largest difference of the mean energies in nats, positive; infinity allows any.
        energy_state: the initial state of the energy, or None. Each update advances it once, by a call on the data.

    Returns:
        The loss function and its carry. A batch is x (B, *event).

    Raises:
        ValueError: if steps < 0, regularisation or data_noise is negative or not finite, or max_gap is not positive; at
            the first call, if the state was created without `carry`, or the energy does not return one value per
            example.

    Reference:
        Du & Mordatch 2019, algorithm 1; Nijkamp et al. 2020, "On the anatomy of MCMC-based maximum likelihood learning
        of energy-based models".

    Example:
        ```python
        starts = ebm.persistent_chains(jax.random.key(0), distributions.Uniform(-3.0, 3.0), (2,), size=2000)
        objective = ebm.maximum_likelihood(net.apply, ebm.langevin_chain(0.02), starts, steps=20)
        state = training.create_state(jax.random.key(1), params, optimizer, objective.carry)
        step = training.make_train_step(objective.loss, optimizer)
        ```
    """
    check_at_least(0, steps=steps)
    check_not_negative(regularisation=regularisation, data_noise=data_noise)
    check_gap(max_gap)
    model = Model(energy, energy_state)
    carry = starts.carry | model.carry

    def loss(
        key: Key[Array, ""], params: PyTree, x: Float[Array, "b *event"], **carried: PyTree
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        check_carried(carry, carried)
        noise_key, start_key, chain_key = jax.random.split(key, 3)
        if data_noise:
            x = x + data_noise * jax.random.normal(noise_key, x.shape, x.dtype)
        state = model.advanced(jax.lax.stop_gradient(params), carried, x)
        start, slots = starts.draw(start_key, carried, x)
        frozen = model.at(jax.lax.stop_gradient(params), state)
        negatives = sample_chain(jax.random.split(chain_key, len(x)), chain(frozen), start, steps)
        kept = starts.keep({name: carried[name] for name in starts.carry}, slots, negatives)
        losses, metrics = contrastive_losses(model.at(params, state), x, negatives, regularisation=regularisation)
        return stopped(losses, metrics, max_gap), metrics, kept | state

    return EnergyObjective(loss, carry)


def sample_chain(keys: Array, chain: Chain, start: Float[Array, "b *event"], steps: int) -> Float[Array, "b *event"]:
    """The positions after `steps` steps, detached and in the dtype of the start."""
    ends = positions(advance(keys, chain, chain.init(start), steps))
    return jax.lax.stop_gradient(ends).astype(start.dtype)


def check_gap(max_gap: float) -> None:
    """Raise ValueError unless the largest gap is positive."""
    if not max_gap > 0:
        raise ValueError(f"max_gap must be positive, got {max_gap}: energies of a good model differ by a few nats")


def stopped(
    losses: Float[Array, " b"], metrics: dict[str, Array], max_gap: float, weights: ArrayLike = 1.0
) -> Float[Array, " b"]:
    """The losses, or NaN where the mean energies of data and samples are too far apart for a model that learns."""
    gap = jnp.abs(jnp.mean(weights * (metrics["sample_energy"] - metrics["data_energy"])))
    return jnp.where(gap <= max_gap, losses, jnp.nan)


def check_carried(carry: dict[str, PyTree], carried: dict[str, PyTree]) -> None:
    """Raise ValueError unless the state's carry has the entries of the objective's."""
    if carry.keys() != carried.keys():
        expected, found = sorted(carry), sorted(carried)
        raise ValueError(
            f"the state's carry must have {expected}, got {found}: create the state with carry=objective.carry, an "
            "argument of training.create_state"
        )
