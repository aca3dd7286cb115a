"""The score-SDE experiment by solvers: the adaptive ODE, likelihoods, codes and what lies between them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.features import FRECHET, Quality
from jaxgen.core import hutchinson
from jaxgen.data import dequantise
from jaxgen.diffusion import GaussianProcess, log_likelihood, noise_grid, perturb
from jaxgen.metrics import bits_per_dim, dequantisation_offset, mean_and_error
from jaxgen.report import Report, image_grid, strip
from jaxgen.samplers import ode_decode, ode_encode, sample_ode, sample_sde

SIGMA_CODE = 0.05


def adaptive_ode(
    report: Report, models: Mapping, quality: Quality, keys: jax.Array, tolerances: Sequence[float], sde_steps: int
) -> None:
    """What a tolerance costs and gives."""
    rows, finest = [], {}
    for name, model in models.items():

        @jax.jit
        def solve(params, tolerance, model=model):
            controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
            return sample_ode(keys, model.process, model.denoise(params), model.shape, controller=controller)

        solutions = [solve(model.params, tolerance) for tolerance in tolerances]
        finest[name] = np.asarray(solutions[-1].x)
        for tolerance, solved in zip(tolerances, solutions, strict=True):
            distance = float(np.sqrt(np.mean((np.asarray(solved.x) - finest[name]) ** 2)))
            rows.append(
                {"process": name, "method": f"ODE, Tsit5 at {tolerance:g}", "calls": int(solved.evaluations)}
                | {"distance to the finest": distance, FRECHET: quality(np.asarray(solved.x))}
            )
    model = models["VP"]
    run = partial(sample_sde, keys, model.process, shape=model.shape, steps=sde_steps, t_min=1e-3)
    solved = jax.jit(lambda params: run(denoise=model.denoise(params)))(model.params)
    rows.append(
        {"process": "VP", "method": f"reverse SDE, diffrax Euler, {sde_steps} steps"}
        | {"calls": int(np.max(solved.evaluations)), "distance to the finest": None}
        | {FRECHET: quality(np.asarray(solved.x))}
    )
    report.metrics["adaptive"] = rows
    report.table(
        rows,
        "The probability-flow ODE by an adaptive solver (rtol = atol, steps shared by the batch, from t = 1 to 1e-5), "
        "with the root-mean-square distance to the solution at the finest tolerance, and the reverse SDE by a general "
        f"solver in equal steps. {quality.describe}.",
    )
    report.figure(
        image_grid(np.concatenate([finest[name][:20] for name in models]), 20, row_labels=list(models)),
        "ode-samples",
        f"Twenty samples of each model by the adaptive ODE at tolerance {tolerances[-1]:g}.",
    )


def likelihood(report: Report, models: Mapping, held_out: np.ndarray, n: int, seed: int) -> None:
    """Bits per dimension of held-out images."""
    images, dims = held_out[:n], held_out[0].size
    data_key, probe_key = jax.random.split(jax.random.key(seed + 4))
    x0 = dequantise(jax.random.split(data_key, len(images)), images)
    rows = []
    for name, model in models.items():
        divergence = hutchinson(jax.random.split(probe_key, len(images)), model.shape)
        controller = diffrax.PIDController(rtol=1e-3, atol=1e-3)

        @jax.jit
        def evaluate(params, model=model, divergence=divergence, controller=controller):
            found = log_likelihood(
                model.process, model.denoise(params), x0, divergence=divergence, controller=controller
            )
            return found.log_density, found.evaluations

        log_density, calls = evaluate(model.params)
        bits = mean_and_error(bits_per_dim(log_density, dims, dequantisation_offset()))
        rows.append({"process": name, "bits/dim": bits.mean, "standard error": bits.error, "network calls": int(calls)})
    report.metrics["bits_per_dim"] = rows
    report.table(
        rows,
        f"Bits per dimension of {len(images)} held-out images: −log p of uniformly dequantised images by the "
        "probability-flow ODE (Tsit5 at 1e-3, one Rademacher probe per image), from t = 1e-5, divided by "
        f"{dims} ln 2, plus {dequantisation_offset():g} bits for 256 levels on [−1, 1]. An upper bound of the bits per "
        "dimension of the integers; 8 is the uniform code. VE's density is that of data with noise of σ = .01, wider "
        "than a level (.0078), which costs it bits that are not the model's. Where one network serves all processes, "
        "VP's and sub-VP's flows meet in x/α and σ/α: they differ by their first noise at t = 1e-5, by the prior's "
        "error and by tolerance.",
    )
    listed = ", ".join(f"{row['process']} {row['bits/dim']:.2f} ± {row['standard error']:.2f}" for row in rows)
    report.finding(f"**Likelihood** of held-out images in bits/dim: {listed}.")


class Coder(NamedTuple):
    """Codes x(1) of images that carry the noise of SIGMA_CODE, and back: (params, images) -> images, both jitted."""

    t: float
    encode: Callable[[Any, jax.Array], jax.Array]
    decode: Callable[[Any, jax.Array], jax.Array]


def coder(model) -> Coder:
    """The probability-flow ODE both ways, from the time at which sigma/alpha is SIGMA_CODE."""
    options = {"t_min": float(noise_grid(model.process, np.array([SIGMA_CODE]))[0])}
    options["controller"] = diffrax.PIDController(rtol=1e-3, atol=1e-3)
    there = jax.jit(lambda params, x: ode_encode(model.process, model.denoise(params), x, **options).x)
    back = jax.jit(lambda params, x: ode_decode(model.process, model.denoise(params), x, **options).x)
    return Coder(options["t_min"], there, back)


def _noised(images: np.ndarray, process: GaussianProcess, t: float, seed: int) -> jax.Array:
    """Images in [−1, 1] with the noise of t."""
    key, eps_key = jax.random.split(jax.random.key(seed))
    x0 = dequantise(jax.random.split(key, len(images)), images)
    return perturb(process, x0, t, jax.random.normal(eps_key, x0.shape))


def unique_encoding(report: Report, model, twin, images: np.ndarray, seed: int) -> None:
    """Two networks of different seeds give the same images the same codes, as far as both know the score."""
    t, code_of, image_of = coder(model)
    x = _noised(images, model.process, t, seed + 5)
    first, second = np.asarray(code_of(model.params, x)), np.asarray(code_of(twin.params, x))
    crossed, back = np.asarray(image_of(twin.params, first)), np.asarray(image_of(model.params, first))
    fresh = np.asarray(jax.random.normal(jax.random.key(seed + 6), first.shape))

    def correlation(a, b):
        pairs = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
        return {"correlation": float(np.mean(pairs)), "least": float(np.min(pairs)), "most": float(np.max(pairs))}

    rows = [
        {"codes compared": "the same image, two networks"} | correlation(first, second),
        {"codes compared": "different images, two networks"} | correlation(first, np.roll(second, 1, axis=0)),
        {"codes compared": "an image's code and fresh noise"} | correlation(first, fresh),
    ]
    report.metrics["encoding"] = rows
    report.metrics["round_trip"] = float(np.sqrt(np.mean((back - np.asarray(x)) ** 2)))
    report.table(
        rows,
        f"Correlation of codes x(1) under VP, over the {first[0].size} entries of an image, mean and range over "
        f"{len(images)} held-out images with noise of σ/α = {SIGMA_CODE}. Decoding its own code returns "
        f"an image within {report.metrics['round_trip']:.3f} (root mean square on [−1, 1]).",
    )
    report.figure(
        image_grid(
            np.clip(np.concatenate([x[:8], first[:8] / 3, second[:8] / 3, back[:8], crossed[:8]]), -1, 1), 8,
            row_labels=["image", "code, network A", "code, network B", "A decodes A's code", "B decodes A's code"],
        ),
        "encoding",
        "The same images encoded by two networks trained from different seeds (codes divided by 3), and A's code "
        "decoded by A and by B.",
    )  # fmt: skip
    same, other = rows[0]["correlation"], abs(rows[1]["correlation"])
    verdict = "**The code belongs to the data.**" if same > 0.7 and same > 3 * other else "**Codes.**"
    report.finding(
        f"{verdict} Two networks from different seeds give one image codes that correlate by "
        f"{rows[0]['correlation']:.3f}; codes of different images correlate by {rows[1]['correlation']:.3f}, and with "
        f"fresh noise by {rows[2]['correlation']:.3f}."
    )


def interpolation(report: Report, model, held_out: np.ndarray, seed: int) -> None:
    """Images between pairs of held-out images, along great circles of their codes."""
    pairs, shares = 4, np.linspace(0, 1, 9)
    t, code_of, image_of = coder(model)
    codes = np.asarray(code_of(model.params, _noised(held_out[-2 * pairs :], model.process, t, seed + 7)))
    between = np.stack([great_circle(codes[:pairs], codes[pairs:], share) for share in shares])
    decoded = image_of(model.params, jnp.asarray(between.reshape(-1, *model.shape)))
    report.figure(
        strip(np.clip(np.asarray(decoded).reshape(between.shape), -1, 1), [f"{share:.2g}" for share in shares]),
        "interpolation",
        "Held-out images (left and right, returned by their own codes) and what lies between their codes on a great "
        "circle, decoded by the VP model.",
    )


def great_circle(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The points (n, *event) at `share` of the way from a to b, of a length between theirs (Shoemake 1985)."""
    axes = tuple(range(1, a.ndim))
    norms = [np.sqrt(np.sum(x**2, axis=axes, keepdims=True)) for x in (a, b)]
    angle = np.arccos(np.clip(np.sum(a * b, axis=axes, keepdims=True) / (norms[0] * norms[1]), -1, 1))
    unit = (np.sin((1 - share) * angle) * a / norms[0] + np.sin(share * angle) * b / norms[1]) / np.sin(angle)
    return unit * ((1 - share) * norms[0] + share * norms[1])
