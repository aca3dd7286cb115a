"""The variational experiment by its encoders: linear ones, whose best amortisation gap is known for every rank."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.toy_chance import over_seeds, plus_minus
from jaxgen import distributions, variational
from jaxgen.report import Report, panels
from jaxgen.variational import linear_gaussian


class Encoders(NamedTuple):
    """Encoders x ↦ N(Uᵀ Vᵀ (x − b), e^{2 log_std}), held against every datum's own optimum."""

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


def amortisation(report: Report, config) -> None:
    """The amortisation gap of trained linear encoders by their rank, and the least that any such encoder has."""
    encoders = Encoders.draw(np.random.default_rng(config.seed + 5), config.examples, config.dims, config.latents)
    rows, lines, keys = [], {}, jax.random.split(jax.random.key(config.seed + 6), config.seeds)
    for rank in range(1, config.latents + 1):

        def trained(key, rank=rank):
            params, along = encoders.train(key, rank, config.encoder_steps)
            return encoders.gaps(params), along

        found, along = jax.jit(jax.vmap(trained))(keys)
        shown = np.unique(np.geomspace(1, config.encoder_steps, 200).astype(int)) - 1
        lines[f"rank {rank}"] = 1 + shown, np.asarray(along).mean(0)[shown]
        rows.append(
            {
                "rank": rank, "least": encoders.least(rank), "trained": over_seeds(found.amortisation.mean(1)),
                "smallest of any datum": float(found.amortisation.min()),
                "approximation gap": float(found.approximation.mean()),
            }
        )  # fmt: skip
    report.metrics["amortisation"] = rows
    least = {f"rank {row['rank']}": row["least"] for row in rows}
    above = {name: (steps, np.maximum(line - least[name], 1e-9)) for name, (steps, line) in lines.items()}
    quantities = {"amortisation gap, nats": lines, "above the least of its rank": above}
    report.figure(
        panels(quantities, x_label="training step", log_x=True, log_y=list(quantities), columns=2, height=310),
        "amortisation",
        f"Mean amortisation gap over {config.examples} data in {config.dims} dimensions, of encoders whose mean is "
        f"linear in x, by the rank of that map, along their training; mean over {config.seeds} runs. Right: less the "
        f"least that encoders of the rank can have, in closed form; rank {config.latents} holds every datum's optimum.",
    )
    report.table(
        rows,
        f"The same after {config.encoder_steps} steps, in nats, mean ± standard error over the runs; the "
        "smallest gap of any datum in any run; and what the "
        "mean field itself leaves of log p(x), whatever the encoder.",
        formats={"least": lambda value: f"{max(value, 0):.3g}", "smallest of any datum": ".2g"},
    )
    report.finding(amortisation_told(rows))


def amortisation_told(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether the full encoder closes the gap and limited ones stay above their least, with no gap below 0."""
    full, limited = rows[-1], rows[:-1]
    closed = "closes" if full["trained"].mean + 2 * full["trained"].error < 0.01 else "does not close"
    told = ", ".join(f"{plus_minus(row['trained'])} of {row['least']:.6g} (rank {row['rank']})" for row in limited)
    negative = min(row["smallest of any datum"] for row in rows) < -1e-9
    sign = (
        "Some gaps are negative, which theory excludes: something is wrong"
        if negative
        else "No gap is negative: between the best encoder and the optima stands ≤, where the homework prints ="
    )
    return (
        f"**Amortisation.** The linear encoder, which holds every optimum, {closed} the gap to .01 nats: "
        f"{plus_minus(full['trained'])}. Encoders of lower rank have to keep one; trained, and the least that theory "
        f"allows: {told}. {sign}."
    )
