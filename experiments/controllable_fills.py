"""In-painting, colourisation and super-resolution by one unconditional model, and what each method makes of them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.score_model import Model, grid
from jaxgen.diffusion import inverse
from jaxgen.diffusion.times import uniform_grid
from jaxgen.metrics import Estimate, estimate
from jaxgen.report import Report, image_grid
from jaxgen.report.numbers import readable
from jaxgen.samplers import ddpm, projected, resampled, reverse_diffusion, sample

TRUTH, DIFFER = "hidden part to the truth", "two fills differ by"


class Task(NamedTuple):
    """What is observed of an image, and the picture that shows it."""

    operator: inverse.Operator
    show: Callable[[np.ndarray], np.ndarray]


def tasks(shape: tuple[int, ...]) -> dict[str, Task]:
    """Questions about images (h, w, c)."""
    height, width, colors = shape
    half, frame = np.zeros((height, width, 1)), np.ones((height, width, 1))
    half[:, : width // 2] = 1
    frame[height // 4 : -(height // 4), width // 4 : -(width // 4)] = 0
    found = {
        "right half": Task(inverse.mask(half), lambda y: np.where(half, y, 0)),
        "middle": Task(inverse.mask(frame), lambda y: np.where(frame, y, 0)),
        "4 × pixels": Task(inverse.average_pool(4), lambda y: y.repeat(4, 1).repeat(4, 2)),
    }
    if colors == 3:
        found["colours"] = Task(inverse.grey(), lambda y: y.repeat(3, -1))
    return found


def methods(model: Model, config) -> dict[str, Callable[..., Any]]:
    """(params, keys, operator, y) -> samples, at about the same number of network calls."""
    process, calls = model.process, config.calls
    chain = ddpm("large")

    def projection(params, keys, operator, y):
        return sample(
            keys, process, model.denoise(params), projected(chain, operator, y), grid(process, calls), model.shape
        )

    def repaint(params, keys, operator, y):
        again = resampled(projected(chain, operator, y), config.repeats)
        # the last step is taken once
        times = grid(process, (calls - 1) // config.repeats + 1)
        return sample(keys, process, model.denoise(params), again, times, model.shape)

    def dps(params, keys, operator, y):
        guided = inverse.dps(
            process, model.denoise(params), operator, y, step_size=config.step_size, steps=calls, clip=1.0
        )
        return sample(keys, process, guided, reverse_diffusion(), uniform_grid(calls), model.shape)

    def pigdm(params, keys, operator, y):
        guided = inverse.pigdm(process, model.denoise(params), operator, y, clip=1.0)
        return sample(keys, process, guided, ddpm(), grid(process, calls), model.shape)

    return {"projection": projection, "RePaint": repaint, "DPS": dps, "ΠGDM": pigdm}


class Errors(NamedTuple):
    """What a set of fills is worth; root mean squares over images in [−1, 1], per number observed or hidden."""

    observed: Estimate
    hidden: Estimate
    differ: Estimate

    @property
    def spread(self) -> float:
        """How far two fills are apart over how far one is from the truth: 1 for draws of the posterior."""
        return self.differ.mean / self.hidden.mean


def errors(operator: inverse.Operator, truth: np.ndarray, images: np.ndarray) -> Errors:
    """Errors of fills (fills, images, h, w, c) of the truth (images, h, w, c), each a mean over images.

    The hidden part is what A does not see, x − Aᵀ A x/c. Fills drawn from the posterior and the truth are draws of the
    same law, so by squares a fill is as far from the truth as from another fill.
    """
    truth = jnp.asarray(truth)
    back, scale = (of(operator, truth.shape) for of in (inverse.transpose, inverse.row_scale))
    seen = int(np.count_nonzero(operator(jnp.ones_like(truth[:1]))))
    unseen = truth[0].size - seen

    def hidden(x):
        return x - back(operator(x)) / scale

    def root(squares: list, count: int) -> Estimate:
        mean, error = estimate(np.mean(squares, axis=0) / count)
        return Estimate(mean**0.5, error / (2 * mean**0.5) if mean > 0 else 0.0)

    def squares(x) -> np.ndarray:
        return np.asarray(jnp.sum(x.reshape(len(x), -1) ** 2, -1))

    fills = [jnp.asarray(x) for x in images]
    return Errors(
        root([squares(operator(x - truth)) for x in fills], seen),
        root([squares(hidden(x - truth)) for x in fills], unseen),
        root([squares(hidden(x - y)) for i, x in enumerate(fills) for y in fills[:i]], unseen),
    )


def compare(report: Report, config, model: Model, truth: np.ndarray) -> None:
    """Every method on every question: a table and a figure each."""
    keys = jax.random.split(jax.random.key(config.seed + 3), config.fills * len(truth))
    repeated = jnp.tile(jnp.asarray(truth), (config.fills, 1, 1, 1))
    rows, found = [], {}
    for question, task in tasks(truth.shape[1:]).items():
        shown = {"truth": truth, "observed": task.show(np.asarray(task.operator(jnp.asarray(truth))))}
        for name, method in methods(model, config).items():
            fill = jax.jit(lambda params, keys, y, method=method, task=task: method(params, keys, task.operator, y))
            images = np.asarray(fill(model.params, keys, task.operator(repeated)))
            by_fill = images.reshape(config.fills, *truth.shape)
            worth = found[question, name] = errors(task.operator, truth, by_fill)
            rows.append(
                {
                    "question": question,
                    "method": name,
                    "observed part": tuple(worth.observed),
                    TRUTH: tuple(worth.hidden),
                    DIFFER: tuple(worth.differ),
                    "spread": worth.spread,
                }
            )
            shown |= {name if i == 0 else " " * i + name: by_fill[i] for i in range(2)}
        labels = [name if not name.startswith(" ") else "" for name in shown]
        picked = np.concatenate([np.clip(x[:12], -1, 1) for x in shown.values()])
        report.figure(
            image_grid(picked, min(12, len(truth)), row_labels=labels),
            "fills-" + question.replace(" ", "-").replace("×", "x"),
            f"{question.capitalize()}: held-out images, what is observed of them, and two fills by each method. "
            + _told({name: found[question, name] for name in methods(model, config)}),
        )
    report.metrics["fills"] = rows
    report.table(
        rows,
        f"Fills of {len(truth)} held-out images, {config.fills} each, by about {config.calls} network calls (ΠGDM and "
        "DPS also differentiate the network). Root mean square differences per number of an image in [−1, 1], ± "
        "standard error over images: of the observed part from the observation, of the hidden part from the truth, and "
        "of two fills. Spread is the last over the one before: 1 for draws of the posterior, less for too sure ones.",
    )
    report.finding(f"**Fills.** {_best(found)}")


def _told(found: Mapping[str, Errors]) -> str:
    return (
        "From the truth, root mean square: "
        + ", ".join(
            f"{name} {readable(tuple(worth.hidden))} (spread {worth.spread:.2f})" for name, worth in found.items()
        )
        + "."
    )


def _best(found: Mapping[tuple[str, str], Errors]) -> str:
    """For every question the method nearest to the truth, and all spreads."""
    lines = []
    for question in dict.fromkeys(question for question, _ in found):
        of = {name: worth for (asked, name), worth in found.items() if asked == question}
        near = min(of, key=lambda name: of[name].hidden.mean)
        lines.append(
            f"{question}: nearest to the truth is {near} ({readable(tuple(of[near].hidden))}); spread "
            + ", ".join(f"{name} {worth.spread:.2f}" for name, worth in of.items())
        )
    return "; ".join(lines) + ". Draws of the posterior have a spread of 1."
