"""In-painting, colourisation and super-resolution by one unconditional model, and what each method makes of them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.controllable_errors import Errors, errors, nearest
from experiments.score_model import Model, grid
from jaxgen.diffusion import inverse, uniform_grid
from jaxgen.report import Report, format_value, image_grid
from jaxgen.samplers import ddpm, repaint, replacement, reverse_diffusion, sample

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
        found["colours"] = Task(inverse.grayscale(), lambda y: y.repeat(3, -1))
    return found


def methods(model: Model, config) -> dict[str, Callable[..., Any]]:
    """(params, keys, operator, y) -> samples, at about the same number of network calls; all clip x0 to [−1, 1]."""
    process, calls = model.process, config.calls
    chain = ddpm("fixed_large")

    def projection(params, keys, operator, y):
        clipped = model.denoise(params, clip=1.0)
        return sample(keys, process, clipped, replacement(chain, operator, y), grid(process, calls), model.shape)

    def passed_again(params, keys, operator, y):
        again = repaint(replacement(chain, operator, y), config.repeats)
        # the last step is taken once
        times = grid(process, (calls - 1) // config.repeats + 1)
        return sample(keys, process, model.denoise(params, clip=1.0), again, times, model.shape)

    # these two clip what they have guided: a clip inside would stop the gradient
    def dps(params, keys, operator, y):
        guided = inverse.dps(
            process, model.denoise(params), operator, y, step_size=config.step_size, steps=calls, clip=1.0
        )
        return sample(keys, process, guided, reverse_diffusion(), uniform_grid(calls), model.shape)

    def pigdm(params, keys, operator, y):
        guided = inverse.pigdm(process, model.denoise(params), operator, y, clip=1.0)
        return sample(keys, process, guided, ddpm(), grid(process, calls), model.shape)

    return {"projection": projection, "RePaint": passed_again, "DPS": dps, "ΠGDM": pigdm}


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
                    "spread": tuple(worth.spread),
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
        "of two fills. Spread is the last over the one before, ± jackknife over images: 1 for draws of the posterior, "
        "less for too sure ones. Nearness alone rewards the too sure: the posterior's mean is nearest, and no draw of "
        "it. All four clip x0 to [−1, 1]. Projection and RePaint wrap DDPM's chain with the large variance, on EDM's "
        f"noise levels, which RePaint passes through {config.repeats} times in fewer steps; ΠGDM guides the chain with "
        "the small variance on the same levels; DPS guides reverse diffusion in steps of equal time, which its step "
        "size is meant for.",
    )
    report.finding(f"**Fills.** {nearest(found)}")


def _told(found: Mapping[str, Errors]) -> str:
    return (
        "From the truth, root mean square: "
        + ", ".join(
            f"{name} {format_value(tuple(worth.hidden))} (spread {format_value(tuple(worth.spread))})"
            for name, worth in found.items()
        )
        + ". The nearest may be too sure: draws of the posterior have a spread of 1."
    )
