"""What the score-SDE exercise measures: numbers and images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.run import BadInput, Run
from experiments.kit.training import parameter_count
from experiments.score_sde.config import Config
from experiments.score_sde.measure_codes import SHOWN, Codes, code_images
from experiments.score_sde.measure_correctors import Correctors, add_correctors
from experiments.score_sde.measure_likelihood import Likelihood, likelihoods
from experiments.score_sde.measure_ode import Adaptive, adaptive
from experiments.score_sde.measure_samplers import Comparison, OwnClocks, compare, own_clocks, same_images
from experiments.score_sde.ode import Flow
from experiments.score_sde.processes import OneOf
from experiments.score_sde.sampling import Sampling
from experiments.score_sde.train import Trained
from jaxgen.data import to_uint8
from jaxgen.diffusion import perturb
from jaxgen.training import History


class Forward(NamedTuple):
    """The schedules of each process on times t, and one image along each process, divided by max(1, σ)."""

    t: np.ndarray  # (T,)
    alpha: dict[str, np.ndarray]  # (T,)
    sigma: dict[str, np.ndarray]
    log_snr: dict[str, np.ndarray]
    shown: np.ndarray  # (k,), the times of the images
    path: np.ndarray  # (k, 3, h, w, c), one image per process


class Measured(NamedTuple):
    """Everything the report shows."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    held_out_count: int  # images behind `floor`
    trained_on: str
    forward: Forward
    parameters: int
    histories: dict[str, History]
    floor: float  # Fréchet distance of held-out images
    comparison: Comparison
    own_clocks: OwnClocks
    same_images: dict[str, float] | None  # None if each process has a network of its own
    correctors: list[Correctors]
    adaptive: Adaptive
    likelihoods: dict[str, Likelihood]
    codes: Codes


def sufficient(data: Images) -> Images:
    """The data; raises BadInput where there are too few held-out images for the figures."""
    if len(data.held_out) < SHOWN:
        raise BadInput(
            f"the figures show {SHOWN} held-out images, but of this data only {len(data.held_out)} are held out: give "
            f"more images, a tenth of which are held out"
        )
    return data


def measure(run: Run[Config], data: Images, trained: Trained, classifier: Classifier) -> Measured:
    """Sample, encode and evaluate the models in every way."""
    config, models = run.config, trained.models
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)
    frechet = FrechetDistance(classifier, data.train.images, data.held_out.images, config.samples)
    sampling, flow = Sampling(run, models, keys), Flow(models["VP"])
    held_out = to_uint8(data.held_out.images[: config.likelihood_images])
    networks = models if config.separate else {"all processes": models["VP"]}
    processes = {name: model.process for name, model in models.items()}
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        held_out_count=len(data.held_out.images[: config.samples]),
        trained_on=classifier.trained_on,
        forward=run.stage("forward", lambda: forward_processes(processes, data.train.images[:3])),
        parameters=parameter_count(trained.twin.params),
        histories={name: model.history for name, model in {**networks, "another seed": trained.twin}.items()},
        floor=frechet.floor,
        comparison=compare(run, sampling, flow, frechet),
        own_clocks=own_clocks(config, sampling, frechet),
        same_images=None if config.separate else same_images(config, sampling),
        correctors=add_correctors(config, sampling, frechet),
        adaptive=adaptive(run, models, keys, flow, frechet),
        likelihoods=likelihoods(run, models, held_out),
        codes=code_images(run, flow, models["VP"], trained.twin, held_out),
    )


def forward_processes(processes: dict[str, OneOf], images: np.ndarray) -> Forward:
    """The schedules at 200 times, and images (3, h, w, c), one along each process, at nine times."""
    t, shown = np.linspace(0.001, 1, 200), np.linspace(0, 1, 9)
    eps = jax.random.normal(jax.random.key(0), images.shape)

    @jax.jit
    def schedule(process, t):
        return process.alpha(t), process.sigma(t), process.log_snr(t)

    @jax.jit
    def states(process, image, eps):
        x = jax.vmap(lambda t: perturb(process, image[None], t, eps[None])[0])(jnp.asarray(shown, jnp.float32))
        return x / jnp.maximum(1, process.sigma(shown))[:, None, None, None]

    curves = {name: schedule(process, t) for name, process in processes.items()}
    path = [states(process, *pair) for process, *pair in zip(processes.values(), images, eps, strict=True)]
    alpha, sigma, log_snr = ({name: curve[i] for name, curve in curves.items()} for i in range(3))
    return Forward(t, alpha, sigma, log_snr, shown, jnp.stack(path, axis=1))
