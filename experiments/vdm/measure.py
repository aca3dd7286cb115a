"""What the exercise on variational diffusion models measures: numbers and images."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.vdm import measure_chains, measure_shapes
from experiments.vdm.config import Config
from experiments.vdm.measure_bound import BoundEstimator, Draws
from experiments.vdm.measure_chains import Chains
from experiments.vdm.measure_likelihood import Bits, Compressors, bits_of, compressors, ode_bits
from experiments.vdm.measure_shapes import BatchSpread, Shapes, batch_spread
from experiments.vdm.shapes import SHAPES, with_shape
from experiments.vdm.train import Model, Objective
from jaxgen.diffusion import GaussianProcess, denoiser, uniform_grid
from jaxgen.samplers import ddpm, sample
from jaxgen.training import History

SAMPLES = 30


class Schedule(NamedTuple):
    """γ = −log SNR at times t, and at the ends t = 0 and t = 1."""

    t: np.ndarray
    gamma: np.ndarray
    ends: tuple[float, float]


class Measured(NamedTuple):
    """Everything the report shows; models are named "fixed" and "learned"."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    histories: dict[str, History]
    schedules: dict[str, Schedule]
    batch: int  # images of a batch in `shapes`
    images: int  # images whose bound is estimated
    draws: int  # times for each of them
    shapes: Shapes
    chains: Chains
    bits: dict[str, Bits]
    compressors: Compressors
    samples: dict[str, np.ndarray]  # (30, h, w, c)


def measure(run: Run[Config], data: Images, objective: Objective, models: Mapping[str, Model]) -> Measured:
    """Estimate the bound under several schedules and numbers of steps, compute likelihoods, and sample."""
    config, learned = run.config, models["learned"]
    images = data.held_out.images[: config.bound_images]
    estimate = BoundEstimator(objective, images, config.bound_draws, config.seed + 5)
    batch = min(config.batch_size, len(images))

    def bound(name: str, process: GaussianProcess, params: Any, steps: int | None = None) -> Draws:
        return run.stage(f"bound/{name}", lambda: estimate(process, params, steps))

    def spread(name: str, process: GaussianProcess) -> BatchSpread:
        return run.stage(
            f"batches/{name}", lambda: batch_spread(estimate, process, learned.params, batch, config.batches)
        )

    def bits(name: str, model: Model) -> Bits:
        ode = run.stage(f"ode/{name}", lambda: ode_bits(objective, model, images[: config.ode_images], config.seed))
        return bits_of(continuous[name], ode)

    continuous = {name: bound(name, model.process, model.params) for name, model in models.items()}
    shapes = {name: with_shape(learned.process, name) for name in SHAPES}
    draws = {
        name: continuous["learned"] if name == "learned" else bound(f"{name} shape", process, learned.params)
        for name, process in shapes.items()
    }
    batches = {name: spread(name, process) for name, process in shapes.items()}
    terms = {
        steps: bound(f"{steps} steps", learned.process, learned.params, steps).diffusion.mean(0)
        for steps in sorted(set(config.chains))
    }
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        histories={name: model.history for name, model in models.items()},
        schedules={name: schedule(model.process) for name, model in models.items()},
        batch=batch,
        images=len(images),
        draws=config.bound_draws,
        shapes=measure_shapes.compare(draws, batches, config.batches),
        chains=measure_chains.compare(terms, continuous["learned"].diffusion.mean(0)),
        bits={name: bits(name, model) for name, model in models.items()},
        compressors=run.stage("compressors", lambda: compressors(data.held_out.images)),
        samples=samples(run, objective, models, images.shape[1:]),
    )


def schedule(process: GaussianProcess) -> Schedule:
    """γ at 201 times."""
    t = np.linspace(0, 1, 201, dtype=np.float32)
    gamma = -np.asarray(process.log_snr(t))
    return Schedule(t, gamma, (float(gamma[0]), float(gamma[-1])))


def samples(
    run: Run[Config], objective: Objective, models: Mapping[str, Model], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Samples of each model by ancestral sampling, from the same noise."""
    times = uniform_grid(run.config.sampling_steps)

    def sampler(params, keys, cond):
        process, weights = params
        denoise = denoiser(process, objective.network(process, weights), clip=1.0)
        return sample(keys, process, denoise, ddpm(), times, shape)

    key = jax.random.key(run.config.seed + 3)
    return {
        name: draw(
            run, f"samples/{name}", sampler, (model.process, model.params), SAMPLES, key=key, batch_size=SAMPLES
        ).images
        for name, model in models.items()
    }
