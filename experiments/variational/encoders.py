"""Linear encoders, whose smallest amortisation gap is known for every rank."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import distributions, variational
from jaxgen.variational import linear_gaussian


class Encoders(NamedTuple):
    """Encoders x ↦ N(Uᵀ Vᵀ (x − b), e^{2 log_std}), compared with the optimum of each datum."""

    model: linear_gaussian.LinearGaussian
    x: jax.Array
    log_evidence: jax.Array
    best: jax.Array  # each datum's ELBO at its own optimum

    @classmethod
    def draw(cls, rng: np.random.Generator, examples: int, dims: int, latents: int) -> "Encoders":
        """A model of random weights, and data from it."""
        model = linear_gaussian.LinearGaussian(rng.normal(size=(dims, latents)), rng.normal(size=dims), 1.0)
        z, noise = rng.normal(size=(examples, latents)), rng.normal(size=(examples, dims))
        x = jnp.asarray(z @ model.weight.T + model.offset + noise)
        best = linear_gaussian.elbo(model, x, *linear_gaussian.mean_field(model, x))
        return cls(model, x, linear_gaussian.log_evidence(model, x), best)

    def encode(self, params: Mapping[str, jax.Array], x: jax.Array) -> distributions.MeanFieldParams:
        """Each datum's q; all share one spread, as their optima do."""
        mean = (x - self.model.offset) @ params["in"] @ params["out"]
        return distributions.MeanFieldParams(mean, jnp.broadcast_to(params["log_std"], mean.shape))

    def gaps(self, params: Mapping[str, jax.Array]) -> variational.InferenceGaps:
        """What each datum's bound leaves, closed form."""
        covariance = jnp.diag(jnp.exp(2 * params["log_std"]))
        encoded = linear_gaussian.elbo(self.model, self.x, self.encode(params, self.x).mean, covariance)
        return variational.inference_gaps(self.log_evidence, self.best, encoded)

    def least(self, rank: int) -> float:
        """The smallest mean amortisation gap of encoders of this rank: ½ Σ_{i>rank} of squared singular values.

        Of Λ^½ G C^½, with G the encoder of all optima and C the data's second moment (Eckart & Young 1936).
        """
        off, precision = np.asarray(self.x) - self.model.offset, np.asarray(linear_gaussian.precision(self.model))
        best = np.linalg.solve(precision, self.model.weight.T) / self.model.std**2
        left, right = np.linalg.cholesky(precision).T, np.linalg.cholesky(off.T @ off / len(off))
        return float(0.5 * np.sum(np.linalg.svd(left @ best @ right, compute_uv=False)[rank:] ** 2))

    def train(self, key: jax.Array, rank: int, steps: int, batch: int = 50) -> variational.Ascent:
        """Adam on the amortised bound of batches, from small random weights; follows the mean amortisation gap."""
        in_key, out_key, key = jax.random.split(key, 3)
        dims, latents = self.model.weight.shape
        params = {
            "in": 0.3 * jax.random.normal(in_key, (dims, rank)),
            "out": 0.3 * jax.random.normal(out_key, (rank, latents)),
            "log_std": jnp.zeros(latents),
        }
        joint, family = partial(linear_gaussian.log_joint, self.model), distributions.mean_field_gaussian()

        def bound(key, params):
            batch_key, draws_key = jax.random.split(key)
            x = jax.random.choice(batch_key, self.x, (batch,))
            keys, encode = jax.random.split(draws_key, batch), partial(self.encode, params)
            return variational.amortised(keys, joint, family, encode, x, sticking_the_landing=True).mean()

        optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps))

        def follow(params):
            return self.gaps(params).amortisation.mean()

        return variational.maximise(key, bound, params, optimizer, steps, follow=follow)
