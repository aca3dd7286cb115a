"""The figures and tables of the score-SDE experiment."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.calls import Counter
from experiments.features import Judge
from jaxgen.diffusion import GaussianProcess, perturb, score, sde_coefficients
from jaxgen.diffusion.likelihood import bits_per_dim, dequantisation_offset, dequantise, hutchinson, log_likelihood
from jaxgen.diffusion.times import karras_grid, noise_grid, uniform_grid
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
    euler_maruyama,
    heun,
    langevin_corrector,
    noise,
    predictor_corrector,
    reverse_diffusion,
    sample,
    sample_ode,
    sample_sde,
)

FIRST_ORDER, SECOND_ORDER = {"DDIM": ddim()}, {"DPM-Solver++(2M)": dpmpp_2m(), "Heun": heun()}
STOCHASTIC = {"ancestral": ddpm(), "DPM-Solver++(2M) SDE": dpmpp_2m_sde()}
SAMPLERS = FIRST_ORDER | SECOND_ORDER | STOCHASTIC
CALLS_PER_STEP = {"Heun": 2}
SIGMA_MIN, SIGMA_MAX, SIGMA_CODE = 0.02, 80.0, 0.05
FLOOR = "held-out images"
FRECHET, TO_ODE = "Fréchet distance", "distance to the ODE's solution"


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


def steps_for(name: str, calls: int) -> int:
    """How many steps of a sampler cost about so many calls."""
    return -(-calls // CALLS_PER_STEP.get(name, 1))


def grid(process: GaussianProcess, n: int) -> np.ndarray:
    """EDM's n noise levels as times, the same levels for every process, then 0."""
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
        "The three processes. VE adds noise until the images drown; VP and sub-VP shrink the signal as well. Sub-VP "
        "has VP's signal and less noise.",
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


def training(report: Report, models: Mapping, twin, batch_size: int) -> None:
    """The losses of all networks."""
    size = sum(leaf.size for leaf in jax.tree.leaves(twin.params))
    histories = {name: model.history["eval/loss"] for name, model in models.items()}
    histories["another seed"] = twin.history["eval/loss"]
    report.figure(
        curves(histories, x_label="training step", y_label="held-out loss", log_y=True),
        "loss",
        f"Held-out loss of the averaged parameters of networks of {size / 1e6:.2f} M parameters, batches of "
        f"{batch_size}. Losses under different processes do not compare: their noise levels differ.",
    )
    report.metrics["training"] = {
        "parameters": size,
        "held_out_loss": {name: history[1][-1] for name, history in histories.items()},
    }


def quality_by_calls(
    report: Report, model, quality: Quality, keys: jax.Array, calls: Sequence[int], tolerance: float
) -> dict[tuple[str, int], np.ndarray]:
    """The picture a researcher wants: quality against network calls; the images by sampler and budget."""
    exact, exact_calls = _exact_path(model, keys, tolerance)
    images, found = {}, {}
    for kind, sampler in SAMPLERS.items():
        for budget in calls:
            drawn = draw(model, sampler, grid(model.process, steps_for(kind, budget)), keys)
            images[kind, budget] = drawn.images
            found[kind, budget] = {"sampler": kind, "budget": budget, "calls": drawn.calls}
            found[kind, budget][FRECHET] = quality(drawn.images)
            if kind not in STOCHASTIC:
                found[kind, budget][TO_ODE] = float(np.sqrt(np.mean((drawn.images - exact) ** 2)))
    limit = quality(exact)
    report.metrics["quality_by_calls"], report.metrics["floor"] = list(found.values()), quality.floor
    report.metrics["exact_path"] = {"calls": exact_calls, FRECHET: limit}

    def curve(kind, name):
        rows = [found[kind, budget] for budget in calls]
        return [row["calls"] for row in rows], [row[name] for row in rows]

    ends = [min(calls), max(calls)]
    levels = {"ODE's solution": (ends, [limit] * 2), FLOOR: (ends, [quality.floor] * 2)}
    report.figure(
        panels(
            {
                FRECHET: {kind: curve(kind, FRECHET) for kind in SAMPLERS} | levels,
                TO_ODE: {kind: curve(kind, TO_ODE) for kind in FIRST_ORDER | SECOND_ORDER},
            },
            x_label="network calls", log_x=True, log_y=[FRECHET, TO_ODE], height=330,
        ),
        "quality-and-calls",
        f"Quality against network calls under VP; down and to the left is better. Left: {quality.describe}. Right: "
        "root-mean-square distance, on the scale [−1, 1], to the solution of the probability-flow ODE from the same "
        f"noise (Tsit5 at {tolerance / 10:g}, {exact_calls} calls), which has no sampling error and does not ask how "
        f"good the model is. All walk through the same noise levels, EDM's from σ/α = {SIGMA_MAX:g} to {SIGMA_MIN:g}, "
        "then 0.",
    )  # fmt: skip
    report.table(
        [
            {"sampler": kind, "measure": name} | {f"{b} calls": found[kind, b][name] for b in calls}
            for name in (FRECHET, TO_ODE)
            for kind in SAMPLERS
            if name in found[kind, calls[0]]
        ],
        f"The figure's numbers; Heun makes one call less where the budget is even. {FLOOR.capitalize()} are at "
        f"{quality.floor:.3g}, the ODE's solution at {limit:.3g}.",
    )
    few, many = min((c for c in calls if c >= 10), default=max(calls)), max(calls)
    for budget, name in ((few, "few-calls"), (many, "many-calls")):
        report.figure(
            image_grid(np.concatenate([images[kind, budget][:15] for kind in SAMPLERS]), 15, row_labels=list(SAMPLERS)),
            name,
            f"Fifteen samples by {budget} network calls, the same initial noise in every row.",
        )
    for name, verdict in ((TO_ODE, "**Order.** By the distance to the ODE's solution"), (FRECHET, "**Quality.** By "
                          f"Fréchet distance, where the ODE's own solution is at {limit:.2g}")):  # fmt: skip
        report.finding(_compare_orders(verdict, found, name, [c for c in calls if 10 <= c <= 20] or [few]))
    report.text(
        "A first-order step follows the tangent of a curved path and errs by the square of its length; a second-order "
        "one bends with the path and errs by the cube, so that the same error takes fewer, longer steps. That is what "
        "the right panel shows; the left one adds the model's own error, which a coarse sampler can hide by smoothing "
        "and noise can repair."
    )
    return images


def _exact_path(model, keys: jax.Array, tolerance: float) -> tuple[np.ndarray, int]:
    """Where the ODE takes the samplers' noise, from their first level to their last and then to its x̂0."""
    t_max, t_min = grid(model.process, 2)[:2]
    controller = diffrax.PIDController(rtol=tolerance / 10, atol=tolerance / 10)

    @jax.jit
    def solve(params):
        denoise = model.denoise(params)
        solved = sample_ode(keys, model.process, denoise, model.shape, t_min=t_min, t_max=t_max, controller=controller)
        return denoise(solved.x, t_min).x0, solved.evaluations

    x, calls = solve(model.params)
    return np.asarray(x), int(calls)


def _compare_orders(verdict: str, found: Mapping, name: str, budgets: Sequence[int]) -> str:
    """How second-order samplers compare with DDIM at few calls, in words that follow the numbers."""
    ahead = [(kind, b) for b in budgets for kind in SECOND_ORDER if found[kind, b][name] < found["DDIM", b][name]]
    listed = "; ".join(
        f"{b} calls: " + ", ".join(f"{kind} {found[kind, b][name]:.2g}" for kind in FIRST_ORDER | SECOND_ORDER)
        for b in budgets
    )
    return f"{verdict}, second-order samplers beat DDIM in {len(ahead)} of {len(budgets) * 2} comparisons ({listed})."


def own_clocks(report: Report, models: Mapping, quality: Quality, keys: jax.Array, calls: Sequence[int]) -> None:
    """The processes apart: equal steps in each one's own time, by samplers that are and are not blind to it."""
    kinds = {"DDIM": ddim(), "DPM-Solver++(2M)": dpmpp_2m(), "Euler–Maruyama": euler_maruyama()}
    budgets = [min((c for c in calls if c >= 10), default=min(calls)), max(calls)]
    rows, images = [], {}
    for name, model in models.items():
        for kind, sampler in kinds.items():
            for budget in budgets:
                drawn = draw(model, sampler, uniform_grid(budget), keys)
                images[name, kind, budget] = drawn.images
                rows.append(
                    {"process": name, "sampler": kind, "calls": drawn.calls, "Fréchet distance": quality(drawn.images)}
                )
    report.metrics["own_clocks"] = rows

    def curve(name, kind):
        chosen = [row for row in rows if (row["process"], row["sampler"]) == (name, kind)]
        return [row["calls"] for row in chosen], [row["Fréchet distance"] for row in chosen]

    floor = {FLOOR: ([min(budgets), max(budgets)], [quality.floor] * 2)}
    report.figure(
        panels(
            {name: {kind: curve(name, kind) for kind in kinds} | floor for name in models},
            x_label="network calls", log_x=True, log_y=list(models), height=270,
        ),
        "own-clocks",
        "The same by equal steps in each process's own time t. VE's clock is even in log σ; VP's and sub-VP's hurry "
        "through the last, cleanest tenth, where a first step of 1/N already leaves much noise to remove at once.",
    )  # fmt: skip
    best = max(budgets)
    report.figure(
        image_grid(
            np.concatenate([images[name, "Euler–Maruyama", best][:15] for name in models]), 15, row_labels=list(models)
        ),
        "samples",
        f"Fifteen samples under each process by Euler–Maruyama and {best} equal steps.",
    )


def one_denoiser(report: Report, models: Mapping, images: Mapping, keys: jax.Array, calls: Sequence[int]) -> None:
    """On the same noise levels, a sampler written in x/α and σ/α draws the same images under every process."""
    budget = min((c for c in calls if c >= 10), default=max(calls))
    gaps = {}
    for name in ("VE", "sub-VP"):
        found = draw(models[name], dpmpp_2m(), grid(models[name].process, budget), keys).images
        gaps[name] = float(np.sqrt(np.mean((found - images["DPM-Solver++(2M)", budget]) ** 2)))
    report.metrics["same_images"] = gaps
    report.finding(
        "**One denoiser, three processes.** In x/α and σ/α the three are one: on the same noise levels and noise, "
        f"DPM-Solver++(2M) under VE and sub-VP draws VP's images, within {gaps['VE']:.2g} and {gaps['sub-VP']:.2g} "
        "(root mean square on [−1, 1]; VE ends with the noise of its σ_min, .01). What sets the processes apart is "
        "their clock, and samplers that live in it."
    )


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
        "Langevin dynamics at fixed t, whose stationary law is q_t: it takes a part of such errors out again, at the "
        "price of one more call a step. All chains here take equal steps in t, as the paper's do."
    )
    corrector = langevin_corrector()
    exam = {
        "exam's update": (exam_update(), calls),
        "exam's update, half the steps": (exam_update(), calls // 2),
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
        f"Fifteen samples of the VE model by about {calls} calls each (half the steps: half as many).",
    )

    def told(name, compared):
        alone, half, corrected = (rows[name, kind][FRECHET] for kind in compared)
        return f"{name} {alone:.3g} by {calls} steps, {half:.3g} by {calls // 2}, {corrected:.3g} with the corrector"

    report.finding(
        f"**The exam's update** alone, and by half the steps with the corrector at equal cost, Fréchet distance: "
        f"{told('VE', exam)}. Reverse diffusion: {'; '.join(told(name, paper) for name in models)}. "
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


class Coder(NamedTuple):
    """Codes x(1) of images that carry the noise of SIGMA_CODE, and back: (params, images) -> images, both jitted."""

    t: float
    encode: Callable[[Any, jax.Array], jax.Array]
    decode: Callable[[Any, jax.Array], jax.Array]


def coder(model) -> Coder:
    """The probability-flow ODE both ways, from the time at which sigma/alpha is SIGMA_CODE."""
    options = {"t_min": float(noise_grid(model.process, np.array([SIGMA_CODE]))[0])}
    options["controller"] = diffrax.PIDController(rtol=1e-3, atol=1e-3)
    there = jax.jit(lambda params, x: encode(model.process, model.denoise(params), x, **options).x)
    back = jax.jit(lambda params, x: decode(model.process, model.denoise(params), x, **options).x)
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
        f"{len(images)} held-out images with noise of σ/α = {SIGMA_CODE}, below which so small a network knows little "
        f"of the score. Decoding its own code returns an image within {report.metrics['round_trip']:.3f} (root mean "
        "square on [−1, 1]).",
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
    report.finding(
        f"**The code belongs to the data.** Two networks from different seeds give one image codes that correlate by "
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
