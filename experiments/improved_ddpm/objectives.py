"""The schedules of Nichol & Dhariwal (2021), and the objectives that are compared under them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.improved_ddpm.config import Objective
from experiments.kit.chains import scaled_linear
from jaxgen.diffusion import (
    GaussianProcess,
    cosine,
    cosine_betas,
    denoising_loss,
    from_betas,
    hybrid_loss,
    importance,
    vlb_loss,
    vp,
    weighting,
)


class Schedule(NamedTuple):
    """A chain, and the continuous process that it tends to."""

    chain: GaussianProcess
    limit: GaussianProcess


def schedules(timesteps: int) -> dict[str, Schedule]:
    """The linear and the cosine schedule; the linear one is scaled so that it ends as that of T = 1000 does."""
    return {
        "linear": Schedule(scaled_linear(timesteps), vp()),
        "cosine": Schedule(from_betas(cosine_betas(timesteps)), cosine()),
    }


def learns_variance(objective: Objective) -> bool:
    """Whether a network of this objective has an output for its variance."""
    return objective in ("hybrid", "bound")


def loss_of(objective: Objective, schedule: Schedule) -> Callable[..., Any]:
    """The loss of an objective.

    Args:
        objective: its name.
        schedule: the schedule.

    Returns:
        (key, network, x0) -> losses (B,); for the bound (key, network, x0, history) -> (losses, metrics, {"history"}),
        with the history of losses from which steps are drawn by importance.
    """
    process = schedule.chain
    match objective:
        case "simple":
            return lambda key, network, x0: denoising_loss(key, process, network, x0)
        case "hybrid":
            return lambda key, network, x0: hybrid_loss(key, process, network, x0)
        case "min-SNR" | "sigmoid":
            weight = weighting.min_snr() if objective == "min-SNR" else weighting.sigmoid(schedule.limit)
            return lambda key, network, x0: denoising_loss(key, process, network, x0, weighting=weight)

    def bound(key, network, x0, history):
        time_key, loss_key = jax.random.split(key)
        t, weights = importance.draw(time_key, history, len(x0))
        losses = vlb_loss(loss_key, process, network, x0, variance="learned", times=lambda *_: t)
        return weights * losses, {}, {"history": importance.record(history, t, losses)}

    return bound
