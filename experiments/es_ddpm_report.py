"""The comparison and the figures of the ES-DDPM experiment."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import t as student

from experiments.autoencoder import Trained
from experiments.features import FLOOR, FRECHET, Quality
from experiments.score_model import Model
from jaxgen.core import fold_in, noise
from jaxgen.diffusion import GaussianProcess, perturb, subset_grid
from jaxgen.metrics import mean_and_error
from jaxgen.report import Report, image_grid, panels, tradeoff
from jaxgen.samplers import Sampler, ddim, ddpm, sample

_SHOWN = 10
FULL, FAST = "whole chain", "VAE"


class Drawn(NamedTuple):
    """Sets of images (sets, n, h, w, c), the network calls of one, and the least seconds that a set took."""

    images: np.ndarray
    calls: int
    seconds: float


class Compared(NamedTuple):
    """A method's distances by set, how much larger than the whole chain's it may be at 95 %, and of that the error."""

    distances: Sequence[float]
    excess: float
    margin: float


def training(report: Report, vae: Trained, model: Model) -> None:
    """How both models learned."""
    report.figure(
        panels(
            {
                "VAE: −ELBO (nats)": {"": vae.history["eval/loss"]},
                "diffusion: held-out loss": {"": model.history["eval/loss"]},
            },
            x_label="training step",
        ),
        "loss",
        f"Held-out losses. The VAE has {_size(vae.params):.2f} M parameters, of which a sample takes the decoder's; "
        f"the diffusion model {_size(model.params):.2f} M, all of which each of its calls takes.",
    )


def start_late(chain: GaussianProcess, steps: int, left: int) -> np.ndarray:
    """The last `left` of a chain's steps as times: T′/T … 1/T, 0."""
    return subset_grid(steps, steps)[steps - left :]


def compare(report: Report, config, vae: Trained, model: Model, quality: Quality) -> None:
    """Every way to sample: the VAE, the chain from T′ on, the whole chain, and as many longer steps from noise."""
    steps, chain = config.timesteps, model.process
    keys = jax.random.split(jax.random.key(config.seed + 3), config.sets * config.samples).reshape(config.sets, -1)

    def from_noise(sampler: Sampler, n: int) -> Callable:
        grid = subset_grid(steps, n)
        return lambda params, keys: sample(
            keys, chain, model.denoise(params["score"], clip=1.0), sampler, grid, model.shape
        )

    def late(left: int) -> Callable:
        def generate(params, keys):
            begun = vae.generate(params["vae"], keys, (config.latents,))
            noised = perturb(chain, begun, left / steps, noise(fold_in(keys, 1), model.shape))
            denoise = model.denoise(params["score"], clip=1.0)
            return sample(
                fold_in(keys, 2), chain, denoise, ddpm(), start_late(chain, steps, left), model.shape, start=noised
            )

        return generate

    params = {"vae": vae.params, "score": model.params}
    starts = sorted(set(config.starts))
    ways = {FAST: (lambda params, keys: vae.generate(params["vae"], keys, (config.latents,)), 0)}
    ways |= {f"from T′ = {left}": (late(left), left) for left in starts}
    ways |= {f"DDPM, {n} longer steps": (from_noise(ddpm(), n), n) for n in starts}
    ways |= {f"DDIM, {n} longer steps": (from_noise(ddim(), n), n) for n in starts}
    ways |= {FULL: (from_noise(ddpm(), steps), steps)}
    drawn = draw(ways, params, keys)

    distances = {name: [quality(images) for images in found.images] for name, found in drawn.items()}
    compared = {name: Compared(found, *excess(found, distances[FULL])) for name, found in distances.items()}
    full = drawn[FULL]
    rows = [
        {
            "method": name,
            "network calls": found.calls,
            FRECHET: mean_and_error(np.array(distances[name])),
            "above the whole chain's": None
            if name == FULL
            else mean_and_error(np.subtract(distances[name], distances[FULL])),
            "at most, at 95 %": None if name == FULL else compared[name].excess,
            f"seconds per {config.samples}": found.seconds,
            "of the whole chain's time": found.seconds / full.seconds,
        }
        for name, found in drawn.items()
    ]
    report.table(
        rows,
        f"{quality.describe}; mean and standard error over {config.sets} sets. Differences are taken set by set; the "
        "last but two column bounds them from above (one-sided Student's t). All from T′ on take the chain's own "
        f"steps, T = {steps}; times are of whole compiled calls, the VAE's share included, the least of the sets, "
        "drawn in turns.",
        best={FRECHET: "min"},
    )
    report.metrics["methods"] = rows
    points = {
        "the chain from T′ on": [f"from T′ = {left}" for left in starts],
        "DDPM from noise": [*(f"DDPM, {n} longer steps" for n in starts), FULL],
        "DDIM from noise": [f"DDIM, {n} longer steps" for n in starts],
        "VAE alone": [FAST],
    }
    report.figure(
        tradeoff(
            {
                group: [
                    (
                        name.split(",")[0] if name == FULL else _short(name),
                        drawn[name].seconds,
                        np.mean(distances[name]),
                    )
                    for name in names
                ]
                for group, names in points.items()
            },
            x_label=f"seconds per {config.samples} samples",
            y_label=FRECHET,
            levels={FLOOR: quality.floor},
            log_x=True,
            log_y=True,
        ),
        "quality-and-time",
        "Quality against time; down and to the left is better. Numbers are the calls of the diffusion network.",
    )
    shown = {FAST: drawn[FAST], **{f"T′ = {left}": drawn[f"from T′ = {left}"] for left in starts}, FULL: full}
    report.figure(
        image_grid(
            np.concatenate([found.images[0, :_SHOWN] for found in shown.values()]), _SHOWN, row_labels=list(shown)
        ),
        "samples",
        "Samples of the VAE, and below each what the chain makes of it when it is noised to T′; the larger T′, the "
        "more it is free to change. The last row begins from noise. Not chosen.",
    )
    _moved(report, drawn, starts)
    for text in findings(compared, {name: found.seconds for name, found in drawn.items()}, starts, config.margin):
        report.finding(text)


def draw(ways: Mapping[str, tuple[Callable, int]], params: Any, keys: jax.Array) -> dict[str, Drawn]:
    """A set of images for each row of keys (sets, n) by each way {name: (generate(params, keys), calls)}, in turns."""
    compiled = {name: jax.jit(generate).lower(params, keys[0]).compile() for name, (generate, _) in ways.items()}
    images, seconds = {name: [] for name in ways}, {name: [] for name in ways}
    for row in keys:
        # in turns, so that a busy machine disturbs all alike
        for name, generate in compiled.items():
            started = time.perf_counter()
            images[name].append(np.asarray(generate(params, row)))
            seconds[name].append(time.perf_counter() - started)
    return {name: Drawn(np.stack(images[name]), calls, min(seconds[name])) for name, (_, calls) in ways.items()}


def excess(distances: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """What the mean difference of paired distances does not exceed at 95 %, by Student's t, and its error in that."""
    mean, error = mean_and_error(np.subtract(distances, reference))
    margin = float(student.ppf(0.95, len(distances) - 1) * error)
    return mean + margin, margin


def findings(
    compared: dict[str, Compared], seconds: dict[str, float], starts: Sequence[int], margin: float
) -> list[str]:
    """What the numbers say: from which T′ on the images are as good as the whole chain's, and what else is."""
    allowed = margin * float(np.mean(compared[FULL].distances))
    share = {name: seconds[name] / seconds[FULL] for name in compared}
    level = {name: float(np.mean(found.distances)) for name, found in compared.items()}

    def as_good(name: str) -> bool:
        return compared[name].excess < allowed

    def described(name: str) -> str:
        return f"{level[name]:.3g} in {share[name]:.0%} of the time"

    equal = [left for left in starts if as_good(f"from T′ = {left}") and share[f"from T′ = {left}"] < 1]
    whole = f"the whole chain's {level[FULL]:.3g}"
    if equal:
        name = f"from T′ = {equal[0]}"
        texts = [
            f"**T′ = {equal[0]}** is the latest beginning whose {FRECHET} is surely within {margin:.0%} of {whole}: "
            f"{described(name)}."
        ]
    else:
        nearest = min(starts, key=lambda left: compared[f"from T′ = {left}"].excess)
        name = f"from T′ = {nearest}"
        able = any(compared[f"from T′ = {left}"].margin < allowed for left in starts)
        texts = [
            f"**No T′** was shown to be within {margin:.0%} of {whole}. The nearest is T′ = {nearest}: "
            f"{described(name)}, at most {compared[name].excess:.2g} more."
            + ("" if able else f" The sets are too few to show it of any: {allowed:.2g} is less than chance itself.")
        ]
    texts.append(
        f"**The VAE alone** is at {level[FAST]:.3g}; what the chain does from T′ = {starts[0]} on brings that to "
        f"{level[f'from T′ = {starts[0]}']:.3g}."
    )
    rivals = []
    for kind in ("DDPM", "DDIM"):
        names = {n: f"{kind}, {n} longer steps" for n in starts}
        good = [n for n in starts if as_good(names[n])]
        least = min(starts, key=lambda n: level[names[n]])
        rivals.append(
            f"{kind} from noise takes {good[0]} for the same: {described(names[good[0]])}"
            if good
            else f"{kind} from noise was not shown to: its lowest is {level[names[least]]:.3g}, in {least} steps"
        )
    texts.append(f"**Longer steps instead.** {'; '.join(rivals)}. {_at_equal_calls(compared, starts)}")
    return texts


def _at_equal_calls(compared: dict[str, Compared], starts: Sequence[int]) -> str:
    """Which of two ways to spend as many network calls is surely better, set by set."""
    won = {"DDPM's longer steps from noise": [], "the chain from T′ on": []}
    for n in starts:
        late, longer = (compared[name].distances for name in (f"from T′ = {n}", f"DDPM, {n} longer steps"))
        if excess(longer, late)[0] < 0:
            won["DDPM's longer steps from noise"].append(str(n))
        elif excess(late, longer)[0] < 0:
            won["the chain from T′ on"].append(str(n))
    said = [f"{way} are surely better by {', '.join(calls)}" for way, calls in won.items() if calls]
    return f"At as many calls {'; '.join(said).replace('T′ on are', 'T′ on is') or 'neither was shown to be better'}."


def _moved(report: Report, drawn: dict[str, Drawn], starts: Sequence[int]) -> None:
    """How far the chain moves the VAE's samples."""
    begun = drawn[FAST].images
    apart = math.sqrt(np.mean((begun[:-1] - begun[1:]) ** 2))
    moved = {left: math.sqrt(np.mean((drawn[f"from T′ = {left}"].images - begun) ** 2)) for left in starts}
    report.text(
        "From the VAE's sample the chain moves "
        + ", ".join(f"{moved[left]:.2g} from T′ = {left}" for left in starts)
        + f" (root mean square of a pixel); two samples of the VAE are {apart:.2g} apart."
    )
    report.metrics["moved"] = moved


def _size(params: Any) -> float:
    return sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6


def _short(name: str) -> str:
    return name.removeprefix("from ").removesuffix(" longer steps").split(", ")[-1]
