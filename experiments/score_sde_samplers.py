"""The score-SDE experiment by step samplers: quality against network calls, clocks, predictors and correctors."""

from collections.abc import Collection, Mapping, Sequence

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.drawing import Drawer, Drawn
from experiments.features import FLOOR, FRECHET, Quality
from experiments.score_model import SIGMA_MAX, SIGMA_MIN, grid
from jaxgen.core import noise
from jaxgen.diffusion import GaussianProcess, perturb, score, sde_coefficients, uniform_grid
from jaxgen.report import Report, curves, image_grid, panels, strip
from jaxgen.samplers import (
    Sampler,
    ddim,
    ddpm,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    euler,
    euler_maruyama,
    heun,
    langevin_corrector,
    predictor_corrector,
    reverse_diffusion,
    sample_ode,
)

FIRST_ORDER = {"DDIM": ddim(), "Euler": euler()}
SECOND_ORDER = {"DPM-Solver++(2M)": dpmpp_2m(), "DPM-Solver++(2S)": dpmpp_2s(), "Heun": heun()}
STOCHASTIC = {
    "ancestral": ddpm(),
    "DPM-Solver++(2M) SDE": dpmpp_2m_sde(),
    "Euler–Maruyama": euler_maruyama(),
    "reverse diffusion": reverse_diffusion(),
    "predictor–corrector": predictor_corrector(reverse_diffusion(), langevin_corrector()),
}
SAMPLERS = FIRST_ORDER | SECOND_ORDER | STOCHASTIC
OWN_CLOCK = ("DDIM", "DPM-Solver++(2M)", "Euler–Maruyama")
CALLS_PER_STEP = {"Heun": 2, "DPM-Solver++(2S)": 2, "predictor–corrector": 2}
BETWEEN, TO_ODE = "Fréchet distance to the ODE's images", "distance to the ODE's images"


def steps_for(name: str, calls: int) -> int:
    """How many steps of a sampler cost about so many calls."""
    return -(-calls // CALLS_PER_STEP.get(name, 1))


class ModelDrawer:
    """Draws samples of one model, one per key."""

    def __init__(self, model, keys: jax.Array):
        self.model, self.keys = model, keys
        self._draw = Drawer(lambda _, params: model.denoise(params), model.shape, keys)

    def __call__(self, sampler: Sampler, times: np.ndarray) -> Drawn:
        """The samples at the end of a grid."""
        return self._draw(self.model.process, self.model.params, sampler, times)


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
        f"{batch_size}. Losses compare where the processes, and so the noise levels, are the same.",
    )
    report.metrics["training"] = {
        "parameters": size,
        "held_out_loss": {name: history[1][-1] for name, history in histories.items()},
    }


def quality_by_calls(
    report: Report, draw: ModelDrawer, quality: Quality, calls: Sequence[int], tolerance: float
) -> dict[tuple[str, int], np.ndarray]:
    """The picture a researcher wants: quality against network calls; the images by sampler and budget."""
    exact, exact_calls = _exact_path(draw.model, draw.keys, tolerance)
    images, found = {}, {}
    for kind, sampler in SAMPLERS.items():
        for budget in calls:
            drawn = draw(sampler, grid(draw.model.process, steps_for(kind, budget)))
            images[kind, budget] = drawn.images
            found[kind, budget] = {"sampler": kind, "budget": budget, "calls": drawn.calls}
            found[kind, budget][FRECHET] = quality(drawn.images)
            if kind not in STOCHASTIC:
                found[kind, budget][BETWEEN] = quality.between(drawn.images, exact)
                found[kind, budget][TO_ODE] = float(np.sqrt(np.mean((drawn.images - exact) ** 2)))
    limit = quality(exact)
    report.metrics["quality_by_calls"], report.metrics["floor"] = list(found.values()), quality.floor
    report.metrics["exact_path"] = {"calls": exact_calls, FRECHET: limit}

    def lines(kinds, name):
        rows = {kind: [found[kind, budget] for budget in calls] for kind in kinds}
        return {kind: ([row["calls"] for row in of], [row[name] for row in of]) for kind, of in rows.items()}

    ends = [min(calls), max(calls)]
    floor, levels = {FLOOR: (ends, [quality.floor] * 2)}, {"the ODE's images": (ends, [limit] * 2)}
    along_the_ode = FIRST_ORDER | SECOND_ORDER
    report.figure(
        panels(
            {
                "Fréchet, to the ODE's images": lines(along_the_ode, BETWEEN),
                "pixels, to the ODE's images": lines(along_the_ode, TO_ODE),
                "Fréchet, to the data": lines(along_the_ode, FRECHET) | floor | levels,
            },
            x_label="network calls", log_x=True, height=300,
            log_y=["Fréchet, to the ODE's images", "pixels, to the ODE's images", "Fréchet, to the data"],
        ),
        "quality-and-calls",
        f"Quality against network calls under VP; down and to the left is better. Left and middle: how far a sampler "
        f"is from the images that the model's probability-flow ODE makes of the same noise (Tsit5 at "
        f"{tolerance / 10:g}, {exact_calls} calls): the sampler's own error, in the judge's features and as a "
        f"root-mean-square distance of pixels on [−1, 1]. Right: {quality.describe}; below that the distance cannot "
        f"tell samplers apart. All walk through the same noise levels, EDM's from σ/α = {SIGMA_MAX:g} to "
        f"{SIGMA_MIN:g}, then 0.",
    )  # fmt: skip
    budgets = [budget for budget in calls if 10 <= budget <= 20] or [few_calls(calls)]
    report.text(_explain(found, budgets))
    report.figure(
        panels(
            {FRECHET: lines(STOCHASTIC, FRECHET) | lines(["DPM-Solver++(2M)"], FRECHET) | floor},
            x_label="network calls", log_x=True, log_y=[FRECHET], height=300,
        ),
        "noise-and-calls",
        "The samplers that add noise, on the same levels, beside one that does not. The corrector costs "
        "half of its pair's calls.",
    )  # fmt: skip
    report.table(
        [
            {"sampler": kind, "measure": name} | {f"{b} calls": found[kind, b][name] for b in calls}
            for name in (BETWEEN, TO_ODE, FRECHET)
            for kind in SAMPLERS
            if name in found[kind, calls[0]]
        ],
        f"The figures' numbers; samplers of two calls a step make one call less in the last."
        f"  {FLOOR.capitalize()} are at "
        f"{quality.floor:.3g} from the data, the ODE's images at {limit:.3g}.",
    )
    for budget, name in ((few_calls(calls), "few-calls"), (max(calls), "many-calls")):
        report.figure(
            image_grid(np.concatenate([images[kind, budget][:15] for kind in SAMPLERS]), 15, row_labels=list(SAMPLERS)),
            name,
            f"Fifteen samples by {budget} network calls, the same initial noise in every row.",
        )
    for name, verdict in (
        (BETWEEN, "**Order.** By Fréchet distance to"),
        (TO_ODE, "**Order, in pixels.** By distance to"),
    ):
        ahead, listed = _ahead_of_ddim(found, name, budgets)
        report.finding(
            f"{verdict} the images of the ODE itself, second-order samplers beat DDIM in {len(ahead)} of "
            f"{len(budgets) * len(SECOND_ORDER)} comparisons ({listed})."
        )
    last = [found[kind, max(calls)][FRECHET] for kind in along_the_ode]
    report.finding(
        f"**To the data**, {FLOOR} are at {quality.floor:.2g}, the ODE's images at {limit:.2g}, and its samplers by "
        f"{max(calls)} calls between {min(last):.2g} and {max(last):.2g}."
    )
    return images


def few_calls(calls: Sequence[int]) -> int:
    """The budget at which samplers differ most: ten calls, or the nearest above."""
    return min((budget for budget in calls if budget >= 10), default=max(calls))


def _ahead_of_ddim(found: Mapping, name: str, budgets: Sequence[int]) -> tuple[list[tuple[str, int]], str]:
    """The (sampler, budget) of second order that beat DDIM, and all numbers in words."""
    ahead = [(kind, b) for b in budgets for kind in SECOND_ORDER if found[kind, b][name] < found["DDIM", b][name]]
    kinds = ["DDIM", *SECOND_ORDER]
    listed = [f"{b} calls: " + ", ".join(f"{kind} {found[kind, b][name]:.2g}" for kind in kinds) for b in budgets]
    return ahead, "; ".join(listed)


def _explain(found: Mapping, budgets: Sequence[int]) -> str:
    """Why the curves lie as they do, in two sentences that follow the numbers."""
    ahead, _ = _ahead_of_ddim(found, BETWEEN, budgets)
    behind = [(kind, b) for b in budgets for kind in SECOND_ORDER if (kind, b) not in ahead]

    def told(pairs: Collection[tuple[str, int]]) -> str:
        return ", ".join(f"{kind} at {budget}" for kind, budget in pairs) or "none"

    return (
        "A second-order step bends with the path of the ODE, so its error falls with the cube of its length and not "
        "with the square, as DDIM's does: nearer than DDIM to the ODE's images, by Fréchet distance at few calls: "
        f"{told(ahead)}. The gain needs steps shorter than the path's bends, which a method of two calls a step has "
        f"half as many of; not nearer: {told(behind)}."
    )


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


def own_clocks(report: Report, draws: Mapping[str, ModelDrawer], quality: Quality, calls: Sequence[int]) -> None:
    """The processes apart: equal steps in each one's own time, by samplers that are and are not blind to it."""
    budgets = [few_calls(calls), max(calls)]
    rows, images = [], {}
    for name, draw in draws.items():
        for kind in OWN_CLOCK:
            for budget in budgets:
                drawn = draw(SAMPLERS[kind], uniform_grid(steps_for(kind, budget)))
                images[name, kind, budget] = drawn.images
                rows.append({"process": name, "sampler": kind, "calls": drawn.calls, FRECHET: quality(drawn.images)})
    report.metrics["own_clocks"] = rows

    def curve(name, kind):
        chosen = [row for row in rows if (row["process"], row["sampler"]) == (name, kind)]
        return [row["calls"] for row in chosen], [row[FRECHET] for row in chosen]

    floor = {FLOOR: ([min(budgets), max(budgets)], [quality.floor] * 2)}
    report.figure(
        panels(
            {name: {kind: curve(name, kind) for kind in OWN_CLOCK} | floor for name in draws},
            x_label="network calls", log_x=True, log_y=list(draws), height=290,
        ),
        "own-clocks",
        "Fréchet distance by equal steps in each process's own time t. VE's clock is even in log σ; VP's and sub-VP's "
        "hurry through the last, cleanest tenth, where one step of 1/N spans many levels of noise.",
    )  # fmt: skip
    best = max(budgets)
    report.figure(
        image_grid(
            np.concatenate([images[name, "Euler–Maruyama", best][:15] for name in draws]), 15, row_labels=list(draws)
        ),
        "samples",
        f"Fifteen samples under each process by Euler–Maruyama and {best} equal steps.",
    )


def one_denoiser(report: Report, draws: Mapping[str, ModelDrawer], images: Mapping, calls: Sequence[int]) -> None:
    """On the same noise levels, a sampler written in x/α and σ/α draws the same images under every process."""
    kind, budget, gaps = "DPM-Solver++(2M)", few_calls(calls), {}
    for name in ("VE", "sub-VP"):
        found = draws[name](SAMPLERS[kind], grid(draws[name].model.process, budget)).images
        gaps[name] = float(np.sqrt(np.mean((found - images[kind, budget]) ** 2)))
    report.metrics["same_images"] = gaps
    report.finding(
        "**One denoiser, three processes.** In x/α and σ/α the three are one: on the same noise levels and noise, "
        f"{kind} under VE and sub-VP draws VP's images, within {gaps['VE']:.2g} and {gaps['sub-VP']:.2g} "
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
    report: Report, draws: Mapping[str, ModelDrawer], quality: Quality, calls: int, snr: float
) -> None:
    """Predictor alone against predictor and corrector at equal cost, and the exam's update without a corrector."""
    report.text(
        "The exam's Euler step of the reverse SDE, with Δt < 0:\n\n"
        "`x ← x + [f(t) x − g(t)² s(x, t)] Δt + g(t) √|Δt| z`, for VE `x ← x − g² s Δt + g √|Δt| z`.\n\n"
        "The steps together leave the marginal q_t by an error of order Δt. The corrector is "
        "Langevin dynamics at fixed t, whose stationary law is q_t, at the price of one more call a step. All chains "
        "here take equal steps in t, as the paper's do."
    )
    half, many = calls // 2, 5
    corrector, strong = langevin_corrector(snr), langevin_corrector(snr, steps=many)

    def chains(name, predictor):
        return {
            f"{name}, {calls} steps": (predictor, calls),
            f"{name}, {half} steps": (predictor, half),
            f"{name}, {half} + corrector": (predictor_corrector(predictor, corrector), half),
        }

    exam, paper = "exam's update", "reverse diffusion"
    often = {f"{exam}, {half} + {many} correctors": (predictor_corrector(exam_update(), strong), half)}
    rows, drawn = {}, {}
    for process, draw in draws.items():
        kinds = chains(paper, SAMPLERS[paper])
        if process == "VE":
            kinds = chains(exam, exam_update()) | often | kinds
        for kind, (sampler, steps) in kinds.items():
            found = drawn[process, kind] = draw(sampler, uniform_grid(steps))
            rows[process, kind] = {"process": process, "sampler": kind, "steps": steps, "calls": found.calls}
            rows[process, kind][FRECHET] = quality(found.images)
    report.metrics["predictor_corrector"] = list(rows.values())
    report.table(
        list(rows.values()),
        f"Predictor alone, and with one corrector step after each of half as many, or {many} (r = {snr:g}; the paper "
        f"takes .16 with a thousand steps). {quality.describe}.",
    )
    kinds = [kind for process, kind in rows if process == "VE"]
    report.figure(
        image_grid(np.concatenate([drawn["VE", kind].images[:11] for kind in kinds]), 11, row_labels=kinds, scale=3),
        "predictor-corrector",
        f"Eleven samples of the VE model: {calls} steps, {half}, and {half} with correctors.",
    )

    def distances(process, name):
        return [row[FRECHET] for (of, kind), row in rows.items() if of == process and kind.startswith(name)]

    def told(process, name):
        whole, alone, once, *more = distances(process, name)
        further = "".join(f", {value:.3g} with {many}, at {1 + many} calls a step" for value in more)
        return f"{process} {alone:.3g} alone, {once:.3g} with one corrector{further} ({whole:.3g} by twice the steps)"

    _, alone, _, cured = distances("VE", exam)
    enough = "is not enough" if alone > 2 * quality.floor else "is enough"
    mended = "takes most of that error out" if cured < alone / 2 else "does not take half of that error out"
    compared = [distances("VE", exam), *(distances(process, paper) for process in draws)]
    won = sum(corrected < whole for whole, _, corrected, *_ in compared)
    report.finding(
        f"**The exam's update** alone {enough} at {half} steps, and the corrector, repeated, {mended}: Fréchet "
        f"distance {told('VE', exam)}; held-out images are at {quality.floor:.2g}. Reverse diffusion: "
        f"{'; '.join(told(process, paper) for process in draws)}. At equal cost one corrector a step beats twice the "
        f"steps in {won} of {len(compared)} comparisons."
    )
