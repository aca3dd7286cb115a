"""The priors of the VAEs: their mass in the hole, and the Fréchet distance of the images that they draw."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.statistics import over_repetitions
from experiments.kit.timing import seconds
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.train_latent import LatentModels, of_seed
from jaxgen import ebm, mcmc
from jaxgen.distributions import GaussianMixture, standard_normal
from jaxgen.metrics import MeanAndError

NORMAL, FITTED, RESAMPLED, CLASSIFIED, LEARNED = (
    "N(0, I)", "fitted Gaussian", "noise-contrastive, resampled", "noise-contrastive, Langevin", "latent EBM, Langevin",
)  # fmt: skip
AGGREGATE = "aggregate posterior"
SHOWN, POINTS = 15, 1500
HOLE_MASS = 0.01  # of the aggregate posterior in the hole
BINS = 12  # along an axis, by which two coordinates are chosen


class Prior(NamedTuple):
    """One prior, over seeds.

    Attributes:
        frechets: Fréchet distance of mean images to the training images (seeds,).
        precisions: their precision (seeds,).
        recalls: their recall (seeds,).
        holes: share of latents in the hole (seeds,).
        latents: latents of the first seed (n, d).
        shown: mean images of the first of these.
        calls: gradients or values of the energy for a latent.
        seconds: for 1000 latents, the least of three runs.
    """

    frechets: np.ndarray
    precisions: np.ndarray
    recalls: np.ndarray
    holes: np.ndarray
    latents: np.ndarray
    shown: np.ndarray
    calls: int
    seconds: float

    @property
    def frechet(self) -> MeanAndError:
        """The Fréchet distance over seeds."""
        return over_repetitions(self.frechets)

    @property
    def hole(self) -> MeanAndError:
        """The mass in the hole over seeds."""
        return over_repetitions(self.holes)


class LatentMeasured(NamedTuple):
    """Everything of the latents.

    Attributes:
        priors: by name; the aggregate posterior last.
        axes: the two coordinates in which the first seed's aggregate posterior is farthest from N(0, I).
        effective_shares: of the weights of resampling (seeds,).
        floor: the Fréchet distance of as many held-out images.
        number: samples of a prior and seed.
    """

    priors: dict[str, Prior]
    axes: tuple[int, int]
    effective_shares: np.ndarray
    floor: float
    number: int


class Draw(NamedTuple):
    """How a prior draws: (key, seed) -> latents, and its calls for one."""

    function: Callable[[jax.Array, int], jax.Array]
    calls: int


def draws_of(config: Config, models: LatentModels, n: int) -> dict[str, Draw]:
    """How each prior draws n latents."""
    d, net, normal = models.latents.shape[-1], models.net, standard_normal()
    chain = ebm.langevin_chain(config.prior_step)

    @jax.jit
    def resampled(key: jax.Array, params: Any) -> jax.Array:
        return ebm.resampled_prior(partial(net.apply, params), normal, config.proposals).sample(key, (n, d))

    @jax.jit
    def langevin(key: jax.Array, params: Any) -> jax.Array:
        prior = ebm.langevin_prior(partial(net.apply, params), normal, chain, config.prior_sampling_steps)
        return prior.sample(key, (n, d))

    def fitted(key: jax.Array, seed: int) -> jax.Array:
        z = models.latents[:, seed].astype(np.float64)
        law = GaussianMixture(np.ones(1), z.mean(0)[None], np.cov(z.T)[None])
        return law.sample(key, n)

    def by(function: Callable, params: Any) -> Callable[[jax.Array, int], jax.Array]:
        return lambda key, seed: function(key, of_seed(params, seed))

    steps = config.prior_sampling_steps
    return {
        NORMAL: Draw(lambda key, seed: normal.sample(key, (n, d)), 0),
        FITTED: Draw(fitted, 0),
        RESAMPLED: Draw(by(resampled, models.classifier), config.proposals),
        CLASSIFIED: Draw(by(langevin, models.classifier), steps),
        LEARNED: Draw(by(langevin, models.energy), steps),
        AGGREGATE: Draw(lambda key, seed: jax.random.permutation(key, models.latents[:, seed])[:n], 0),
    }


def measure_latent(run: Run[Config], models: LatentModels, data: Images, classifier: Classifier) -> LatentMeasured:
    """Measure the priors of all seeds."""
    return run.stage("latent/priors", partial(measure_priors, run.config, models, data, classifier))


def measure_priors(config: Config, models: LatentModels, data: Images, classifier: Classifier) -> LatentMeasured:
    """Draw latents from every prior and compare their images with the training images."""
    n = min(config.prior_samples, len(data.held_out), len(models.latents))
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, n)
    decode = jax.jit(models.vae.image)
    seeds = range(config.seeds)
    logit = jax.jit(lambda params, z: -models.net.apply(params, z))
    levels = [np.quantile(logit(of_seed(models.judge, seed), models.latents[:, seed]), HOLE_MASS) for seed in seeds]
    key = jax.random.key(config.seed + 13)

    def measured(draw: Draw) -> Prior:
        z = [jnp.asarray(draw.function(jax.random.fold_in(key, seed), seed)) for seed in seeds]
        taken = min(seconds(lambda: jax.block_until_ready(draw.function(key, 0))) for _ in range(3))
        images = [np.asarray(decode(models.vae_params[seed], z[seed])) for seed in seeds]
        found = [distance.quality(of) for of in images]
        holes = [np.mean(np.asarray(logit(of_seed(models.judge, seed), z[seed])) < levels[seed]) for seed in seeds]
        return Prior(
            *(np.array([getattr(of, name) for of in found]) for name in ("frechet", "precision", "recall")),
            np.array(holes), np.asarray(z[0]), images[0][:SHOWN], draw.calls, 1000 * taken / n,
        )  # fmt: skip

    normal = jax.random.normal(key, (4000, models.latents.shape[-1]))
    shares = [mcmc.effective_share(logit(of_seed(models.classifier, seed), normal)) for seed in seeds]
    return LatentMeasured(
        {name: measured(draw) for name, draw in draws_of(config, models, n).items()},
        farthest_axes(models.latents[:, 0]),
        np.array(shares), distance.floor, n,
    )  # fmt: skip


def farthest_axes(z: np.ndarray) -> tuple[int, int]:
    """The two coordinates of latents (n, d) whose histogram has the largest KL divergence from that of N(0, I)."""
    from scipy.stats import norm

    edges = norm.ppf(np.linspace(0, 1, BINS + 1))  # N(0, 1) has as much mass in each
    bins = np.clip(np.searchsorted(edges, z) - 1, 0, BINS - 1)
    if z.shape[1] == 1:
        return 0, 0

    def divergence(i: int, j: int) -> float:
        share = np.bincount(bins[:, i] * BINS + bins[:, j], minlength=BINS**2) / len(z)
        return float(np.sum(share[share > 0] * np.log(share[share > 0] * BINS**2)))

    return max(((i, j) for j in range(z.shape[1]) for i in range(j)), key=lambda pair: divergence(*pair))
