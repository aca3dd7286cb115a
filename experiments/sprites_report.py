"""The figures and the table of the sprites experiment."""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.features import Judge
from experiments.sampling import Drawn, Model, draw
from jaxgen.diffusion import GaussianProcess, perturb, transition
from jaxgen.metrics import frechet_distance, precision_recall
from jaxgen.report import Report, animate, curves, image_grid, panels, strip, tradeoff
from jaxgen.samplers import ddim, ddpm
from jaxgen.training import History


def forward_process(report: Report, process: GaussianProcess, images: np.ndarray) -> None:
    """The schedule, and what it does to five images."""
    t = np.arange(1, process.steps + 1) / process.steps
    i = np.arange(1, process.steps + 1)
    beta = transition(process, t - 1 / process.steps, t).variance
    quantities = {
        "β": {"β": (i, beta)},
        "signal and noise": {"α = √ᾱ": (i, process.alpha(t)), "σ = √(1−ᾱ)": (i, process.sigma(t))},
        "log-SNR (nats)": {"log-SNR": (i, process.log_snr(t))},
    }
    report.figure(
        panels(quantities, x_label="step"),
        "schedule",
        f"The linear schedule: after {process.steps} steps α is {float(process.alpha(1.0)):.3f}, x_T nearly noise.",
    )
    shown = np.unique(np.round(np.linspace(0, 1, 11) ** 1.5 * process.steps)).astype(int)
    eps = jax.random.normal(jax.random.key(0), images[:5].shape)
    path = [perturb(process, jnp.asarray(images[:5]), step / process.steps, eps) for step in shown]
    report.figure(
        strip(np.stack(path), [f"{step}" for step in shown]),
        "forward",
        "Five images along the forward process, each reached from x0 in one step: x_t = α x0 + σ ε.",
    )


def training(report: Report, batch_size: int, model: Model, history: History) -> None:
    """The training curve."""
    steps = history["loss"][0][-1]
    size = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    report.figure(
        curves(
            {"training": history["loss"], "held out (averaged parameters)": history["eval/loss"]},
            x_label="training step",
            y_label="ε-MSE",
            smooth={"training": 15},
            log_y=True,
        ),
        "loss",
        f"Loss of a network of {size / 1e6:.2f} M parameters over {steps} steps of {batch_size} images. "
        "The held-out curve uses the same noise each time, so it is smooth.",
    )
    report.metrics["training"] = {"parameters": size, "held_out_loss": history["eval/loss"][1][-1]}


def without_noise(report: Report, silent: np.ndarray, noisy: np.ndarray, real: np.ndarray) -> None:
    """The reverse chain without its added noise z, and how much variety and detail that leaves."""
    sets = {"without z": silent, "DDPM": noisy, "real": real}
    variety = {name: float(np.mean(np.std(images, axis=0))) for name, images in sets.items()}
    detail = {name: float(np.mean(np.abs(np.diff(images, axis=2)))) for name, images in sets.items()}
    report.figure(
        image_grid(silent, 10),
        "ddpm-without-z",
        "The same DDPM chain without the added noise z, from the same initial noise: every step takes the mean of what "
        "is possible, so the samples are smooth and resemble one another.",
    )
    report.metrics["variety"], report.metrics["detail"] = variety, detail
    report.finding(
        f"**Without the noise z** the samples vary {variety['without z'] / variety['DDPM']:.0%} as much as DDPM's "
        f"(standard deviation of a pixel across samples, {variety['without z']:.2f} against {variety['DDPM']:.2f}; "
        f"real images {variety['real']:.2f}), with {detail['without z'] / detail['DDPM']:.0%} of the contrast between "
        "neighbouring pixels."
    )


def trajectory(report: Report, model: Model, keys, labels) -> None:
    """Ten DDPM samples as they form."""
    steps = model.process.steps
    follow = jax.jit(partial(model.sample, start=None, sampler=ddpm(), steps=steps, trajectory=True))
    path = follow(model.params, keys[:10], None if labels is None else labels[:10])
    report.figure(
        animate(np.asarray(path), 10),
        "trajectory",
        f"Ten of the DDPM samples on their way from noise, {steps} steps in thirty frames.",
    )


def class_conditional(report: Report, model: Model, judge: Judge, names: Sequence[str], seed: int) -> None:
    """Ten samples of each class asked for, and how many the classifier reads as asked."""
    k, n = len(names), 20
    labels = jnp.arange(k * n) // n
    keys = jax.random.split(jax.random.key(seed + 4), k * n)
    steps = min(50, model.process.steps)
    images = draw(model, ddim(), steps, keys, labels).images
    agreement = np.mean(judge.classify(images).argmax(-1) == np.asarray(labels))
    report.figure(
        image_grid(images.reshape(k, n, *model.shape)[:, :10].reshape(-1, *model.shape), 10, row_labels=names),
        "classes",
        f"Ten samples of each class by DDIM-{steps}. The classifier reads {agreement:.0%} of {k * n} as the class "
        f"asked for; it is right on {judge.accuracy:.0%} of held-out real images.",
    )
    report.metrics["class_agreement"] = agreement
    report.metrics["classifier_accuracy"] = judge.accuracy


def nearest(report: Report, generated: np.ndarray, images: np.ndarray) -> None:
    """Whether samples are copies: each beside its nearest training image."""
    shown = generated[:12]
    flat = images.reshape(len(images), -1)
    squares = [np.mean((flat - x.reshape(-1)) ** 2, axis=-1) for x in shown]
    found = images[[int(s.argmin()) for s in squares]]
    distance = np.sqrt(np.median([s.min() for s in squares]))
    report.figure(
        image_grid(np.concatenate([shown, found]), len(shown), row_labels=["sample", "nearest"]),
        "nearest",
        "Samples and the training image nearest to each in pixels; the median root-mean-square distance is "
        f"{distance:.2f} on the scale [−1, 1].",
    )


def compare(
    report: Report, judge: Judge, drawn: Mapping[str, Drawn], train_images: np.ndarray, real: np.ndarray
) -> None:
    """Fréchet distance, precision and recall against time, with held-out real images as the floor."""
    reference = judge.features(train_images)
    peers = reference[: len(real)]

    def quality(images):
        features = judge.features(images[: len(real)])
        found = precision_recall(peers, features)
        distance = frechet_distance(features, reference)
        return {"Fréchet distance": distance, "precision": found.precision, "recall": found.recall}

    rows = {
        name: {"method": name, "network calls": method.calls, **quality(method.images)}
        | {"seconds per 50": method.seconds, "compile (s)": method.compile_seconds}
        for name, method in drawn.items()
    }
    floor = {"method": "held-out real images", **quality(real)}
    report.table(
        [*rows.values(), floor],
        f"Quality and cost. Fréchet distance of {len(real)} images to the {len(reference)} training images in the 64 "
        f"features of a classifier trained on {judge.trained_on}; precision and recall with k = 3 against as many "
        "training images. Compare within this table only.",
    )
    report.metrics["methods"] = [*rows.values(), floor]
    noised = next(name for name in rows if name.endswith("from noised images"))
    ddpm_name, *ddim_names = [name for name in rows if name != noised]
    points = {
        group: [(name, rows[name]["seconds per 50"], rows[name]["Fréchet distance"]) for name in names]
        for group, names in {"DDIM": ddim_names, "DDPM": [ddpm_name], "DDIM from noised images": [noised]}.items()
    }
    report.figure(
        tradeoff(
            points,
            x_label="seconds per 50 samples",
            y_label="Fréchet distance",
            levels={"held-out real images": floor["Fréchet distance"]},
            log_x=True,
            log_y=True,
        ),
        "quality-and-time",
        "Quality against time: down and to the left is better.",
    )
    full, fast = rows[ddpm_name], rows[noised.removesuffix(" from noised images")]
    report.finding(
        f"**{fast['method']}** draws 50 images in {fast['seconds per 50']:.2g} s at a Fréchet distance of "
        f"{fast['Fréchet distance']:.3g}; **{full['method']}** takes {full['seconds per 50']:.2g} s, "
        f"{full['seconds per 50'] / fast['seconds per 50']:.1f} times as long, for {full['Fréchet distance']:.3g}. "
        f"Real held-out images are at {floor['Fréchet distance']:.3g}."
    )
    report.finding(
        "**The start.** The chain ends short of pure noise. Begun from held-out images noised to its last step instead "
        f"of from N(0, I), {fast['method']} is at {rows[noised]['Fréchet distance']:.3g} instead of "
        f"{fast['Fréchet distance']:.3g}: DDPM's noise forgets where the chain began, a deterministic path cannot."
    )
