"""The figures and tables of the variational-diffusion experiment."""

import io
import lzma
import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgen.core import hutchinson
from jaxgen.data import to_uint8
from jaxgen.diffusion import GaussianProcess, cosine, denoiser, log_likelihood, perturb, uniform_grid
from jaxgen.distributions import Gaussian
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error
from jaxgen.report import Report, curves, image_grid, panels
from jaxgen.samplers import ddpm, sample

_BINS, _REPEATS = 25, 100


class Draws(NamedTuple):
    """The bound's terms in bits/dim: of each image, and of each draw of a time and image."""

    prior: np.ndarray  # (images,)
    diffusion: np.ndarray  # (draws, images)
    reconstruction: np.ndarray  # (draws, images)
    t: np.ndarray  # (draws, images)

    @property
    def total(self) -> np.ndarray:
        """The estimate of each image's bound."""
        return self.prior + self.diffusion.mean(0) + self.reconstruction.mean(0)


class Measure:
    """The bound of held-out images; noise and strata of time are the same for all that is measured."""

    def __init__(self, objective, images: np.ndarray, draws: int, seed: int):
        self.objective, self.images, self._draws = objective, jnp.asarray(images), draws
        self._key, self._rng = jax.random.key(seed), partial(np.random.default_rng, seed)
        self._terms = jax.jit(self._evaluate, static_argnames="steps")

    def __call__(self, process: GaussianProcess, params: Any, steps: int | None = None) -> Draws:
        """Every image at `draws` times, which together are stratified over [0, 1] or {1/T, …, 1}."""
        count, rng = len(self.images), self._rng()
        u = (rng.permutation(self._draws * count) + rng.random(self._draws * count)) / (self._draws * count)
        u = u.reshape(self._draws, count)
        found = [self.once(process, params, i, row, steps) for i, row in enumerate(u)]
        prior, diffusion, reconstruction = (np.stack(term) for term in zip(*found, strict=True))
        return Draws(prior[0], diffusion, reconstruction, u)

    def once(self, process, params, index: int, u: np.ndarray, steps: int | None = None) -> tuple[np.ndarray, ...]:
        """The terms at one time u for each of the first images."""
        key = jax.random.fold_in(self._key, index)
        terms = self._terms(process, params, key, self.images[: len(u)], np.float32(u), steps=steps)
        return tuple(-bits_per_dim(term, self.images[0].size) for term in terms)

    def _evaluate(self, process, params, key, x0, u, *, steps):
        at = u if steps is None else (jnp.minimum(jnp.floor(u * steps), steps - 1) + 1) / steps
        return self.objective(key, process, params, x0, times=lambda *_: at, steps=steps)


def schedules(report: Report, models: Mapping) -> None:
    """γ(t) of both models."""
    t = np.linspace(0, 1, 201)
    report.figure(
        curves(
            {name: (t, -np.asarray(model.process.log_snr(t))) for name, model in models.items()},
            x_label="time t",
            y_label="γ = −log SNR (nats)",
        ),
        "schedules",
        "The fixed schedule, straight in γ, and the learned one: its ends are trained by the bound, its shape by the "
        "variance of the bound's estimate.",
    )
    ends = {name: [float(-model.process.log_snr(end)) for end in (0.0, 1.0)] for name, model in models.items()}
    report.metrics["ends"] = ends
    report.finding(
        f"**Ends.** γ runs from {ends['fixed'][0]:.3g} to {ends['fixed'][1]:.3g} where it is fixed, and from "
        f"{ends['learned'][0]:.3g} to {ends['learned'][1]:.3g} where it is learned."
    )


def training(report: Report, models: Mapping, batch_size: int) -> None:
    """Bits along training, and their noise."""
    window = {name: max(1, len(model.history["loss"][0]) // 40) for name, model in models.items()}
    report.figure(
        panels(
            {
                "bits/dim of a batch": {name: model.history["loss"] for name, model in models.items()},
                "diffusion term squared": {name: m.history["diffusion_squared"] for name, m in models.items()},
            },
            x_label="training step",
            log_y=["bits/dim of a batch", "diffusion term squared"],
            smooth=window,
        ),
        "training",
        f"Training on batches of {batch_size}. The bound is what network and ends descend; the mean square of its "
        "diffusion term, the bits being given, is what the learned shape descends.",
    )


def _straight(t):
    return t


def _bent(t):
    return t**3 + 0.2 * t


def _cosine(t):
    return -cosine().log_snr(0.002 + 0.99 * t)


def shapes(report: Report, measure: Measure, models: Mapping, batch: int) -> None:
    """One network under four shapes of γ between the same ends."""
    params, own = models["learned"].params, models["learned"].process
    others = {"straight": _straight, "bent": _bent, "cosine": _cosine}
    processes = {"learned": own} | {name: own.replace(shape=jax.tree_util.Partial(f)) for name, f in others.items()}
    found = {name: measure(process, params) for name, process in processes.items()}
    batch, rows, along, rng = min(batch, len(measure.images)), [], {}, np.random.default_rng(1)
    for name, draws in found.items():
        spread = {}
        for kind in ("uniform", "stratified"):
            means = []
            for repeat in range(_REPEATS):
                u = rng.random(batch) if kind == "uniform" else (rng.random() + np.arange(batch) / batch) % 1
                means.append(measure.once(processes[name], params, 1000 + repeat, u)[1].mean())
            spread[kind] = float(np.std(means, ddof=1))
        rows.append(
            {
                "shape of γ": name,
                "diffusion term": tuple(mean_and_error(draws.diffusion.mean(0))),
                "less the straight one's": tuple(
                    mean_and_error((draws.diffusion - found["straight"].diffusion).mean(0))
                ),
                "std of one draw": float(np.sqrt(draws.diffusion.var(0, ddof=1).mean())),
                "std of a batch, uniform t": spread["uniform"],
                "std of a batch, stratified t": spread["stratified"],
            }
        )
        part = np.minimum((draws.t * _BINS).astype(int), _BINS - 1)
        seen = [k for k in range(_BINS) if np.any(part == k)]
        along[name] = ((np.array(seen) + 0.5) / _BINS, [draws.diffusion[part == k].mean() for k in seen])
    report.metrics["shapes"] = rows
    report.table(
        rows,
        f"One network, four shapes of γ between the ends that were learned: the diffusion term in bits/dim of "
        f"{len(measure.images)} held-out images at {len(found['learned'].t)} times each (± standard error over images; "
        f"the difference is paired), and how much its estimate varies: for one draw of time and noise, and for batches "
        f"of {batch} over {_REPEATS} repetitions.",
        best=dict.fromkeys(list(rows[0])[3:], "min"),
    )
    report.figure(
        curves(along, x_label="time t", y_label="diffusion term at t (bits/dim)", log_y=True),
        "integrand",
        "What is averaged over time: the diffusion term at t. The flatter, the less a random t varies; the learned "
        "shape is trained to be flat.",
    )
    by = {row["shape of γ"]: row for row in rows}
    apart = [
        name
        for name in others
        if abs(by[name]["less the straight one's"][0]) > 3 * by[name]["less the straight one's"][1] > 0
    ]
    listed = ", ".join(
        f"{name} {row['diffusion term'][0]:.3f} ± {row['diffusion term'][1]:.3f}" for name, row in by.items()
    )
    report.finding(
        f"**Invariance.** Under four shapes between the same ends the diffusion term is {listed} bits/dim; "
        + (
            f"{', '.join(apart)} differs by more than three standard errors."
            if apart
            else "none differs from the straight one by three standard errors of the difference."
        )
    )
    one = ratio_of_means(*(found[name].diffusion.var(0, ddof=1) for name in ("learned", "straight")))
    batches = (by["learned"]["std of a batch, stratified t"] / by["straight"]["std of a batch, uniform t"]) ** 2
    error = batches * math.sqrt(4 / (_REPEATS - 1))  # of a ratio of two variances of normal numbers
    report.finding(
        f"**Variance.** The learned shape changes the variance of one draw of the diffusion term by a factor of "
        f"{one.mean:.2g} ± {one.error:.1g} against the straight one; with stratified times, that of a batch's mean by "
        f"{batches:.2g} ± {error:.1g} against straight and uniform."
    )


def ratio_of_means(a: np.ndarray, b: np.ndarray) -> MeanAndError:
    """mean(a)/mean(b) of paired values, and its standard error to first order."""
    ratio = a.mean() / b.mean()
    return MeanAndError(float(ratio), mean_and_error((a - ratio * b) / b.mean()).error)


def finite(report: Report, measure: Measure, model, chains: Sequence[int]) -> None:
    """L_T for several T, on the way to L_∞."""
    limit = measure(model.process, model.params).diffusion.mean(0)
    terms = {steps: measure(model.process, model.params, steps).diffusion.mean(0) for steps in sorted(chains)}
    rows = [
        {"T": steps, "diffusion term": tuple(mean_and_error(term)), "above T = ∞": tuple(mean_and_error(term - limit))}
        for steps, term in terms.items()
    ]
    rows.append({"T": "∞", "diffusion term": tuple(mean_and_error(limit))})
    report.metrics["finite"] = rows
    report.table(
        rows, "The diffusion term of T steps in bits/dim, and its excess over that of continuous time, paired."
    )
    drawn = [(row["T"], row["above T = ∞"][0]) for row in rows[:-1] if row["above T = ∞"][0] > 0]
    if drawn:
        report.figure(
            curves(
                {
                    "L_T − L_∞": tuple(zip(*drawn, strict=True)),
                    "1/T": ([t for t, _ in drawn], [drawn[0][1] * drawn[0][0] / t for t, _ in drawn]),
                },
                x_label="steps T",
                y_label="bits/dim",
                log_x=True,
                log_y=True,
            ),
            "finite",
            "What a chain of T steps costs above continuous time, and a fall in proportion to 1/T for comparison; what "
            "is not above 0 is left out.",
        )
    excess = {row["T"]: row["above T = ∞"] for row in rows[:-1]}
    listed = ", ".join(f"{mean:.3g} ± {error:.1g} at T = {steps}" for steps, (mean, error) in excess.items())
    report.finding(f"**L_T → L_∞.** {falls(terms)}; above continuous time by {listed} bits/dim.")


def falls(terms: Mapping[int, np.ndarray]) -> str:
    """How far the paired terms of T steps fall with every T, by more than two standard errors each time."""
    drops = {longer: mean_and_error(terms[shorter] - terms[longer]) for shorter, longer in pairwise(terms)}
    stops = [steps for steps, drop in drops.items() if drop.mean <= 2 * drop.error]
    if not stops:
        return "The bound falls with every T tried"
    before = max(steps for steps in terms if steps < stops[0])
    if before == min(terms):
        return f"From T = {before} to {stops[0]} the bound does not fall beyond chance"
    return f"The bound falls with every T tried up to {before}, and from there to {stops[0]} not beyond chance"


def likelihood(report: Report, measure: Measure, models: Mapping, ode_images: int, seed: int) -> None:
    """Bits per dimension of the integers by the bound and, for the same z_0 and decoder, by the ODE's density."""
    rows, told = [], []
    for name, model in models.items():
        draws = measure(model.process, model.params)
        rows.append(
            {"schedule": name, "by": "the bound", "images": len(draws.prior)}
            | {
                "prior": mean_and_error(draws.prior).mean,
                "diffusion": mean_and_error(draws.diffusion.mean(0)).mean,
                "reconstruction": mean_and_error(draws.reconstruction.mean(0)).mean,
                "bits/dim": tuple(mean_and_error(draws.total)),
            }
        )
        bits, reconstruction, calls = _ode_bits(measure, model, ode_images, seed)
        rows.append(
            {"schedule": name, "by": "the ODE", "images": len(bits), "network calls": calls}
            | {"reconstruction": reconstruction, "bits/dim": tuple(mean_and_error(bits))}
        )
        total, same = mean_and_error(draws.total), draws.total[: len(bits)]
        less = mean_and_error(bits - same)
        told.append(
            f"{name} {total.mean:.2f} ± {total.error:.2f} by the bound; of {len(bits)} images {same.mean():.2f} by the "
            f"bound and by the ODE {less.mean:+.3f} ± {less.error:.3f}"
        )
    report.metrics["bits_per_dim"] = rows
    report.table(
        rows,
        "Bits per dimension of the integer pixel values of held-out images, ± standard error over images; 8 is the "
        "uniform code. Both rows of a schedule code x by way of z_0 ~ q(z_0|x) and the same decoder p(x|z_0), so no "
        "dequantisation is added: the bound adds KL terms of the chain, the ODE row E[log q(z_0|x) − log p(z_0)] with "
        "p the density of the probability-flow ODE (Tsit5 at 1e-4, one Rademacher probe per image). Were the network "
        "exact, so would both be; as it is not, chain and ODE are two models, and either may have more bits.",
    )
    report.finding(f"**Bits per dimension** of held-out images, continuous time: {'; '.join(told)}.")


def _ode_bits(measure: Measure, model, n: int, seed: int) -> tuple[np.ndarray, float, int]:
    """−log₂ of p(z_0) p(x|z_0) / q(z_0|x), per dimension, for each of n images."""
    x0, objective = measure.images[:n], measure.objective
    eps_key, probe_key = jax.random.split(jax.random.key(seed + 6))
    eps = jax.random.normal(eps_key, x0.shape)
    divergence = hutchinson(jax.random.split(probe_key, n), x0.shape[1:])
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)

    @jax.jit
    def evaluate(process, params):
        network = objective.precondition(process, partial(objective.net.apply, params))
        z = perturb(process, x0, 0.0, eps)
        found = log_likelihood(
            process, denoiser(process, network), z, divergence=divergence, t_min=0.0, controller=controller
        )
        log_q = (-0.5 * (eps**2 + math.log(2 * math.pi)) - jnp.log(process.sigma(0.0))).reshape(n, -1).sum(-1)
        alpha, sigma = process.alpha(0.0), process.sigma(0.0)
        log_p = objective.likelihood(x0, Gaussian(z / alpha, sigma / alpha))
        return found.log_density - log_q, log_p, found.evaluations

    log_ratio, log_p, calls = evaluate(model.process, model.params)
    dims = x0[0].size
    return bits_per_dim(log_ratio + log_p, dims), float(bits_per_dim(log_p, dims).mean()), int(calls)


def compression(report: Report, images: np.ndarray) -> None:
    """What a bound means for compression, beside general compressors."""
    pixels = to_uint8(images)

    def png(image: np.ndarray) -> int:
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "PNG", optimize=True)
        return len(file.getvalue())

    found = {
        "PNG, each image": float(np.mean([png(image) for image in pixels[:200]])) * 8 / pixels[0].size,
        "LZMA, all held-out images in one": len(lzma.compress(pixels.tobytes(), preset=9)) * 8 / pixels.size,
    }
    report.metrics["compressors"] = found
    report.text(
        "**As lossless compression.** A bound of b bits per dimension is a code of that length. The model of T steps "
        "is a chain of Gaussian latents; bits-back coding sends x by first decoding z from bits that are due anyway, "
        "under q(z|x), then encoding x under p(x|z) and z under p(z): the expected net length is the bound, up to the "
        "rounding of the latents (Kingma et al. 2021, §8). More steps T bring the code nearer to that of continuous "
        "time and cost a network call each. For comparison: "
        + ", ".join(f"{name} {bits:.2f} bits per dimension" for name, bits in found.items())
        + " (file headers included)."
    )


def samples(report: Report, objective, models: Mapping, shape: tuple[int, ...], steps: int, seed: int) -> None:
    """Samples of both models by the same chain of noise."""
    keys = jax.random.split(jax.random.key(seed + 3), 30)

    def draw(process, params):
        network = objective.precondition(process, partial(objective.net.apply, params))
        return sample(keys, process, denoiser(process, network, clip=1.0), ddpm(), uniform_grid(steps), shape)

    rows = [np.asarray(jax.jit(draw)(model.process, model.params)) for model in models.values()]
    labels = [label for name in models for label in (name, "")]
    report.figure(
        image_grid(np.concatenate(rows), 15, row_labels=labels),
        "samples",
        f"Thirty samples of each model by ancestral sampling in {steps} equal steps of t, from the same noise.",
    )
