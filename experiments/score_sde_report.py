"""The figures and tables of the score-SDE experiment."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.calls import Counter
from experiments.features import Judge
from jaxgen.diffusion import GaussianProcess, perturb, score, sde_coefficients
from jaxgen.diffusion.likelihood import bits_per_dim, dequantisation_offset, dequantise, hutchinson, log_likelihood
from jaxgen.diffusion.times import karras_grid, uniform_grid
from jaxgen.metrics import frechet_distance
from jaxgen.report import Report, curves, image_grid, panels, strip
from jaxgen.samplers import (
    Sampler,
    ddim,
    ddpm,
    decode,
    dpmpp_2m,
    dpmpp_2m_sde,
    encode,
    heun,
    langevin_corrector,
    noise,
    predictor_corrector,
    reverse_diffusion,
    sample,
    sample_ode,
    sample_sde,
)

TWIN = "VP, another seed"
FIRST_ORDER, SECOND_ORDER = {"DDIM": ddim()}, {"DPM-Solver++(2M)": dpmpp_2m(), "Heun": heun()}
STOCHASTIC = {"ancestral": ddpm(), "SDE-DPM-Solver++(2M)": dpmpp_2m_sde()}
SAMPLERS = FIRST_ORDER | SECOND_ORDER | STOCHASTIC
CALLS_PER_STEP = {"Heun": 2}
SIGMA_MIN, SIGMA_MAX = 0.02, 80.0
FLOOR = "held-out real images"


class Quality:
    """Fréchet distance of images in [−1, 1] to the training images, in the judge's features."""

    def __init__(self, judge: Judge, train_images: np.ndarray, held_out: np.ndarray, n: int):
        self._features, self._reference = judge.features, judge.features(train_images)
        self.floor = self(held_out[:n])
        self.describe = (
            f"Fréchet distance of {n} images to the {len(train_images)} training images in the 64 features of a "
            f"classifier trained on {judge.trained_on}; as many held-out real images are at {self.floor:.2g}"
        )

    def __call__(self, images: np.ndarray) -> float:
        """The distance."""
        return frechet_distance(self._features(np.clip(images, -1, 1)), self._reference)


def largest_distance(images: np.ndarray) -> float:
    """The largest distance between two of the first 1,000 images (Song & Ermon 2020, technique 1)."""
    flat = images[:1000].reshape(min(1000, len(images)), -1).astype(np.float64)
    squares = np.sum(flat**2, axis=-1)
    return float(np.sqrt(np.max(squares[:, None] + squares - 2 * flat @ flat.T)))


def steps_for(name: str, calls: int) -> int:
    """How many steps of a sampler cost about so many calls."""
    return -(-calls // CALLS_PER_STEP.get(name, 1))


def grid(process: GaussianProcess, n: int) -> np.ndarray:
    """EDM's noise levels as times, the same for every process, then 0."""
    return karras_grid(process, n, SIGMA_MIN, SIGMA_MAX)


class Drawn(NamedTuple):
    """Samples and the network calls they took, as counted."""

    images: np.ndarray
    calls: int


def draw(model, sampler: Sampler, times: np.ndarray, keys: jax.Array) -> Drawn:
    """Samples, one per key, as one batch."""
    counter = Counter()

    @jax.jit
    def run(params):
        denoise = counter.around(model.denoise(params))
        return sample(keys, model.process, denoise, sampler, times, model.shape)

    return Drawn(np.asarray(run(model.params)), counter.calls)


def three_processes(report: Report, processes: Mapping[str, GaussianProcess], images: np.ndarray) -> None:
    """The schedules, and three images along each process."""
    t = np.linspace(0.001, 1, 200)
    quantities = {
        "signal α": {name: (t, process.alpha(t)) for name, process in processes.items()},
        "noise σ": {name: (t, process.sigma(t)) for name, process in processes.items()},
        "log-SNR (nats)": {name: (t, process.log_snr(t)) for name, process in processes.items()},
    }
    report.figure(
        panels(quantities, x_label="time t", log_y=["noise σ"]),
        "processes",
        "The three processes. VE adds noise up to the largest distance between two images; VP and sub-VP shrink the "
        "signal as well. Sub-VP has the same signal as VP and less noise.",
    )
    shown = np.linspace(0, 1, 9)
    eps = jax.random.normal(jax.random.key(0), images.shape)

    def row(process, image):
        states = [perturb(process, jnp.asarray(images), t, eps)[image] for t in shown]
        return np.stack([state / max(1.0, float(process.sigma(t))) for state, t in zip(states, shown, strict=True)])

    rows = np.stack([row(process, i) for i, process in enumerate(processes.values())], axis=1)
    report.figure(
        strip(rows, [f"t = {t:.2g}" for t in shown], row_labels=list(processes)),
        "forward",
        "One image along each process, x_t = α x0 + σ ε, divided by σ where that exceeds 1.",
    )


def training(report: Report, models: Mapping, batch_size: int) -> None:
    """The losses of all networks."""
    size = sum(leaf.size for leaf in jax.tree.leaves(next(iter(models.values())).params))
    report.figure(
        curves(
            {name: model.history["eval/loss"] for name, model in models.items()},
            x_label="training step", y_label="held-out ε-MSE", log_y=True,
        ),
        "loss",
        f"Held-out error in ε of the averaged parameters of four networks of {size / 1e6:.2f} M parameters, batches of "
        f"{batch_size}, t uniform. Levels of different processes do not compare: their noise levels differ.",
    )  # fmt: skip
    report.metrics["training"] = {
        "parameters": size,
        "held_out_loss": {name: model.history["eval/loss"][1][-1] for name, model in models.items()},
    }


def quality_by_calls(
    report: Report, models: Mapping, quality: Quality, keys: jax.Array, calls: Sequence[int]
) -> dict[tuple[str, str, int], np.ndarray]:
    """The picture a researcher wants: quality against network calls; the images by process, sampler and budget."""
    images, rows = {}, []
    for name, model in models.items():
        for kind, sampler in SAMPLERS.items():
            for budget in budgets(name, calls):
                drawn = draw(model, sampler, grid(model.process, steps_for(kind, budget)), keys)
                images[name, kind, budget] = drawn.images
                rows.append(
                    {"process": name, "sampler": kind, "budget": budget, "calls": drawn.calls}
                    | {"Fréchet distance": quality(drawn.images)}
                )
    report.metrics["quality_by_calls"], report.metrics["floor"] = rows, quality.floor

    def curve(name, kind):
        chosen = [row for row in rows if (row["process"], row["sampler"]) == (name, kind)]
        return [row["calls"] for row in chosen], [row["Fréchet distance"] for row in chosen]

    floor = {FLOOR: ([min(calls), max(calls)], [quality.floor] * 2)}
    report.figure(
        panels(
            {name: {kind: curve(name, kind) for kind in SAMPLERS} | floor for name in models},
            x_label="network calls", log_x=True, log_y=list(models), height=300,
        ),
        "quality-and-calls",
        f"Quality against network calls, down and to the left is better. {quality.describe}. All samplers walk through "
        f"the same noise levels, σ/α from {SIGMA_MAX:.0f} (or the process's largest) to {SIGMA_MIN}, then 0.",
    )  # fmt: skip
    report.table(
        [
            {"process": name, "sampler": kind}
            | {
                f"{budget} calls": dict(zip(budgets(name, calls), curve(name, kind)[1], strict=True)).get(budget)
                for budget in calls
            }
            for name in models
            for kind in SAMPLERS
        ],
        f"Fréchet distances of the figure; Heun makes one call less or more than the budget. "
        f"{FLOOR.capitalize()}: {quality.floor:.3g}.",
    )
    few, many = min((c for c in calls if c >= 10), default=max(calls)), max(calls)
    report.figure(
        image_grid(np.concatenate([images["VP", kind, few][:12] for kind in SAMPLERS]), 12, row_labels=list(SAMPLERS)),
        "few-calls",
        f"Twelve samples of the VP model by {few} network calls, the same initial noise in every row.",
    )
    best = list(STOCHASTIC)[-1]
    report.figure(
        image_grid(np.concatenate([images[name, best, many][:20] for name in models]), 20, row_labels=list(models)),
        "samples",
        f"Twenty samples of each process's model by {best} and {many} calls.",
    )
    _explain_orders(report, rows, [c for c in calls if 10 <= c <= 20] or [few])
    return images


def budgets(process: str, calls: Sequence[int]) -> list[int]:
    """The budgets compared: all of them under VP, those from 10 calls on under the others."""
    return [c for c in calls if c >= 10 or process == "VP" or max(calls) < 10]


def _explain_orders(report: Report, rows: Sequence[Mapping], budgets: Sequence[int]) -> None:
    """How second-order samplers compare with DDIM at few calls, in words that follow the numbers."""

    def at(name, kind, budget):
        return next(
            row["Fréchet distance"]
            for row in rows
            if (row["process"], row["sampler"], row["budget"]) == (name, kind, budget)
        )

    names = list(dict.fromkeys(row["process"] for row in rows))
    ahead = sum(at(n, kind, b) < at(n, "DDIM", b) for n in names for b in budgets for kind in SECOND_ORDER)
    pairs = len(names) * len(budgets) * len(SECOND_ORDER)
    first = budgets[0]
    listed = "; ".join(
        f"{name} " + ", ".join(f"{kind} {at(name, kind, first):.2g}" for kind in [*FIRST_ORDER, *SECOND_ORDER])
        for name in names
    )
    report.finding(
        f"**Order.** At {' and '.join(map(str, budgets))} calls a second-order sampler is ahead of DDIM in {ahead} of "
        f"{pairs} comparisons (Fréchet distance at {first} calls: {listed}). A first-order step follows the tangent of "
        "a curved path and errs by the square of its length, a second-order one bends with the path and errs by the "
        "cube, so the same error takes fewer, longer steps; only near the data, where every sampler ends in a "
        "first-order step, does the advantage stop."
    )


def towards_the_ode(
    report: Report, model, images: Mapping, keys: jax.Array, calls: Sequence[int], tolerances: Sequence[float]
) -> None:
    """How fast the deterministic samplers' `images` of the VP model approach the exact path from the same noise."""
    t_max, t_min = grid(model.process, 2)[:2]

    @jax.jit
    def exact(params):
        denoise = model.denoise(params)
        controller = diffrax.PIDController(rtol=tolerances[-1], atol=tolerances[-1])
        solved = sample_ode(keys, model.process, denoise, model.shape, t_min=t_min, t_max=t_max, controller=controller)
        return denoise(solved.x, t_min).x0, solved.evaluations

    reference, cost = exact(model.params)
    distances = {
        kind: [float(np.sqrt(np.mean((images["VP", kind, budget] - reference) ** 2))) for budget in calls]
        for kind in FIRST_ORDER | SECOND_ORDER
    }
    report.metrics["distance_to_the_ode"] = {"calls": list(calls), "reference_calls": int(cost), **distances}
    report.figure(
        curves(
            {name: (calls, values) for name, values in distances.items()},
            x_label="network calls", y_label="distance to the ODE's solution", log_x=True, log_y=True,
        ),
        "towards-the-ode",
        "Root-mean-square distance, on the scale [−1, 1], between a VP sample and the solution of the "
        f"probability-flow ODE from the same noise (Tsit5 at tolerance {tolerances[-1]:g}, {int(cost)} calls). This "
        "is what an order is about: it has no sampling error, and it says nothing of the model's own.",
    )  # fmt: skip


def exam_update() -> Sampler:
    """The reverse SDE's Euler step as the exam writes it, Δt < 0: x ← x + [f x − g² s] Δt + g √|Δt| z."""

    def step(key, process, denoise, t, s, x, carry):
        drift, diffusion_squared = sde_coefficients(process, t)
        dt = s - t
        mean = x + (drift * x - diffusion_squared * score(process, denoise(x, t), t)) * dt
        return mean + jnp.sqrt(diffusion_squared * jnp.abs(dt)) * noise(key, x.shape[1:]), carry

    return Sampler(step)


def predictor_corrector_comparison(
    report: Report, models: Mapping, quality: Quality, keys: jax.Array, calls: int
) -> None:
    """Predictor alone against predictor and corrector at equal cost, and the exam's update without a corrector."""
    report.text(
        "The exam's Euler step of the reverse SDE, with Δt < 0:\n\n"
        "`x ← x + [f(t) x − g(t)² s(x, t)] Δt + g(t) √|Δt| z`, for VE `x ← x − g² s Δt + g √|Δt| z`.\n\n"
        "Each step leaves the marginal q_t by an error of order Δt, which later steps carry on. The corrector is "
        "Langevin dynamics at fixed t, whose stationary law is q_t: it takes such errors out again, at the price of "
        "one more call a step. All chains here take equal steps in t, as the paper's do."
    )
    corrector = langevin_corrector()
    exam = {
        "exam's update": (exam_update(), calls),
        "exam's update and corrector": (predictor_corrector(exam_update(), corrector), calls // 2),
    }
    paper = {
        "reverse diffusion": (reverse_diffusion(), calls),
        "reverse diffusion, half the steps": (reverse_diffusion(), calls // 2),
        "reverse diffusion and corrector": (predictor_corrector(reverse_diffusion(), corrector), calls // 2),
    }
    rows, drawn = {}, {}
    for name, model in models.items():
        for kind, (sampler, steps) in ((exam | paper) if name == "VE" else paper).items():
            found = drawn[name, kind] = draw(model, sampler, uniform_grid(steps), keys)
            rows[name, kind] = {"process": name, "sampler": kind, "steps": steps, "calls": found.calls}
            rows[name, kind]["Fréchet distance"] = quality(found.images)
    report.metrics["predictor_corrector"] = list(rows.values())
    report.table(list(rows.values()), f"Predictor alone, and with the corrector (r = .16). {quality.describe}.")
    kinds = list(exam | paper)
    report.figure(
        image_grid(np.concatenate([drawn["VE", kind].images[:15] for kind in kinds]), 15, row_labels=kinds),
        "predictor-corrector",
        f"Fifteen samples of the VE model by about {calls} calls each (the fourth row: half as many).",
    )

    def told(name, alone, corrected):
        distances = [rows[name, kind]["Fréchet distance"] for kind in (alone, corrected)]
        return f"{name} {distances[0]:.3g} alone and {distances[1]:.3g} with the corrector"

    alone, _, corrected = paper
    report.finding(
        f"**The exam's update** by {calls} calls, Fréchet distance: {told('VE', *exam)} at equal cost. Reverse "
        f"diffusion: {'; '.join(told(name, alone, corrected) for name in models)}. "
        f"Held-out images are at {quality.floor:.2g}."
    )


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
                | {"distance to the finest": distance, "Fréchet distance": quality(np.asarray(solved.x))}
            )
    model = models["VP"]
    run = partial(sample_sde, keys, model.process, shape=model.shape, steps=sde_steps, t_min=1e-3)
    solved = jax.jit(lambda params: run(denoise=model.denoise(params)))(model.params)
    rows.append(
        {"process": "VP", "method": f"reverse SDE, diffrax Euler, {sde_steps} steps"}
        | {"calls": int(np.max(solved.evaluations)), "distance to the finest": None}
        | {"Fréchet distance": quality(np.asarray(solved.x))}
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
        bits = np.asarray(bits_per_dim(log_density, dims, dequantisation_offset()))
        rows.append(
            {"process": name, "bits/dim": float(bits.mean()), "standard error": float(bits.std() / np.sqrt(len(bits)))}
            | {"network calls": int(calls)}
        )
    report.metrics["bits_per_dim"] = rows
    report.table(
        rows,
        f"Bits per dimension of {len(images)} held-out images: −log p of uniformly dequantised images by the "
        "probability-flow ODE (Tsit5 at 1e-3, one Rademacher probe per image), from t = 1e-5, divided by "
        f"{dims} ln 2, plus {dequantisation_offset():g} bits for 256 levels on [−1, 1]. An upper bound of the bits per "
        "dimension of the integers; 8 is the uniform code. VE's density is that of data with noise of σ = .01, wider "
        "than a level (.0078), which costs it bits that are not the model's.",
    )
    listed = ", ".join(f"{row['process']} {row['bits/dim']:.2f} ± {row['standard error']:.2f}" for row in rows)
    report.finding(f"**Likelihood** of held-out images in bits/dim: {listed}.")


def _encode(model, params, images: jax.Array):
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-3)
    return encode(model.process, model.denoise(params), images, controller=controller).x


def _decode(model, params, latents: jax.Array):
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-3)
    return decode(model.process, model.denoise(params), latents, controller=controller).x


def unique_encoding(report: Report, model, twin, images: np.ndarray, seed: int) -> None:
    """Two networks of different seeds give the same images the same codes, as far as both know the score."""
    x0 = dequantise(jax.random.split(jax.random.key(seed + 5), len(images)), images)
    code_of = jax.jit(partial(_encode, model))
    image_of = jax.jit(partial(_decode, model))
    first, second = np.asarray(code_of(model.params, x0)), np.asarray(code_of(twin.params, x0))
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
    report.metrics["round_trip"] = float(np.sqrt(np.mean((back - np.asarray(x0)) ** 2)))
    report.table(
        rows,
        f"Correlation of codes x(1) under VP, over the {first[0].size} entries of an image, mean and range over "
        f"{len(images)} held-out images. Decoding its own code returns an image within "
        f"{report.metrics['round_trip']:.3f} (root mean square on [−1, 1]).",
    )
    report.figure(
        image_grid(
            np.clip(np.concatenate([x0[:8], first[:8] / 3, second[:8] / 3, back[:8], crossed[:8]]), -1, 1), 8,
            row_labels=["image", "code, network A", "code, network B", "A decodes A's code", "B decodes A's code"],
        ),
        "encoding",
        "The same images encoded by two networks trained from different seeds (codes divided by 3), and A's code "
        "decoded by A and by B.",
    )  # fmt: skip
    report.finding(
        f"**The code belongs to the data.** Two networks from different seeds give one image codes that correlate by "
        f"{rows[0]['correlation']:.3f}; codes of different images correlate by {rows[1]['correlation']:.3f}, and with "
        f"fresh noise by {rows[2]['correlation']:.3f}."
    )


def interpolation(report: Report, model, held_out: np.ndarray, seed: int) -> None:
    """Images between pairs of held-out images, along great circles of their codes."""
    pairs, shares = 4, np.linspace(0, 1, 9)
    x0 = dequantise(jax.random.split(jax.random.key(seed + 7), 2 * pairs), held_out[-2 * pairs :])
    codes = np.asarray(jax.jit(partial(_encode, model))(model.params, x0))
    between = np.stack([great_circle(codes[:pairs], codes[pairs:], share) for share in shares])
    decoded = jax.jit(partial(_decode, model))(model.params, jnp.asarray(between.reshape(-1, *model.shape)))
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
