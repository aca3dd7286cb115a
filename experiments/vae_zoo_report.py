"""The figures, the table and the findings of the comparison of autoencoders."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from experiments.chance import apart
from experiments.features import FLOOR, FRECHET, Quality
from experiments.vae_zoo_models import SC, VAE, VAMP, VQ, Member
from jaxgen.data import ImageDataset
from jaxgen.metrics import apply_in_batches, bits_per_dim, mean_and_error
from jaxgen.report import Panel2D, Report, image_grid, panels, panels_2d

_SHOWN, _STEPS = 12, 9
_COLORS = 7  # that can be told apart
BITS, BOUND, RATE, ERROR = "−log p (bits/dim)", "−ELBO (bits/dim)", "rate (nats)", "reconstruction error"


def data(report: Report, images: ImageDataset, where: str) -> None:
    """The data."""
    report.figure(image_grid(images.images[:60], 15), "data", f"Training images, 60 of {len(images)}, {where}.")


def training(report: Report, members: Sequence[Member]) -> None:
    """Every model's own objective."""
    report.figure(
        panels(
            {
                member.name: {
                    "training": member.history["loss"],
                    "held out (averaged parameters)": member.history["eval/loss"],
                }
                for member in members
            },
            x_label="training step",
            columns=2,
            smooth={"training": 9, "held out (averaged parameters)": 1},
        ),
        "loss",
        "Each model's objective in nats an image, which differ in what they count beside −log p(x|z): the KL "
        "divergence, its weight rising at first; the commitment to the codebook; the errors of sparse codes and "
        "their size.",
    )


def reconstructions(report: Report, members: Sequence[Member], held_out: np.ndarray) -> None:
    """Held-out images and what each model keeps of them."""
    x = jnp.asarray(held_out[:_SHOWN])
    rows = [x, *(member.decode(member.encode(x)) for member in members)]
    report.figure(
        image_grid(np.concatenate(rows), _SHOWN, row_labels=["held out", *(member.name for member in members)]),
        "reconstructions",
        "Held-out images and the mean images of their codes.",
    )


def interpolations(report: Report, members: Sequence[Member], held_out: np.ndarray) -> None:
    """From one image to another through the codes."""
    share = jnp.linspace(0, 1, _STEPS)
    rows = []
    for member in members:
        a, b = member.encode(jnp.asarray(held_out[:2]))
        rows.append(member.decode(jnp.stack([(1 - s) * a + s * b for s in share])))
    report.figure(
        image_grid(
            np.concatenate(rows),
            _STEPS,
            titles=[f"{s:.2f}" for s in share],
            row_labels=[member.name for member in members],
        ),
        "interpolation",
        "The straight line between the codes of two held-out images; the VQ-VAE's is taken before its codes are looked "
        "up, so that it goes by steps.",
    )


def traversals(report: Report, members: Sequence[Member], held_out: np.ndarray) -> None:
    """What each dimension of a Gaussian code draws, about the code of one image."""
    values = np.linspace(-2.5, 2.5, _STEPS)
    for member in members:
        if member.name not in (VAE, VAMP):
            continue
        code = np.asarray(member.encode(jnp.asarray(held_out[:1])))
        z = np.repeat(code, code.size * _STEPS, 0).reshape(code.size, _STEPS, -1)
        for dim in range(code.size):
            z[dim, :, dim] = values
        report.figure(
            image_grid(
                member.decode(jnp.asarray(z[:_SHOWN].reshape(-1, code.size))),
                _STEPS,
                titles=[f"{value:.1f}" for value in values],
                row_labels=[f"z{dim + 1}" for dim in range(min(code.size, _SHOWN))],
            ),
            f"traversal-{member.name.lower()}",
            f"{member.name}: one dimension of the code of a held-out image moved from {values[0]:g} to {values[-1]:g}, "
            "the others kept.",
        )


def scatter(report: Report, members: Sequence[Member], held_out: ImageDataset) -> None:
    """The codes of held-out images in the plane of their greatest variance, by class where there are classes."""
    names = held_out.label_names[:_COLORS]
    if held_out.labels is not None:
        held_out = held_out.take(held_out.labels < _COLORS)
    shown = []
    for member in members:
        z = apply_in_batches(lambda x, member=member: member.encode(x).reshape(len(x), -1), held_out.images[:1000])
        centred = z - z.mean(0)
        _, spread, axes = np.linalg.svd(centred, full_matrices=False)
        points = centred @ axes[:2].T / max(spread[0] / len(z) ** 0.5, 1e-12)
        share = np.sum(spread[:2] ** 2) / max(np.sum(spread**2), 1e-12)
        groups = None if held_out.labels is None else held_out.labels[:1000]
        shown.append(Panel2D(f"{member.name}: {share:.0%}", points=points, groups=groups))
    report.figure(
        panels_2d([shown], (-2.5, 2.5), group_labels=names),
        "codes",
        "Codes of held-out images in the plane of their two first principal components, in standard deviations of "
        f"the first; above, the share of their variance that lies in it. No model was told the classes, {_COLORS} at "
        "most of which are shown.",
    )


def samples(report: Report, members: Sequence[Member]) -> None:
    """Samples of every model that has a prior."""
    able = [member for member in members if member.samples is not None]
    rows = np.concatenate([member.samples[: 2 * _SHOWN] for member in able])
    count = -(-min(2 * _SHOWN, len(able[0].samples)) // _SHOWN)
    labels = [member.name if i == 0 else "" for member in able for i in range(count)]
    report.figure(
        image_grid(rows, _SHOWN, row_labels=labels),
        "samples",
        f"Mean images of codes drawn from each prior, not chosen. {SC} has no prior: nothing says which sparse codes "
        "are likely, so it draws none.",
    )


def pseudo_inputs(report: Report, members: Sequence[Member], config) -> None:
    """What the VampPrior's pseudo-inputs became, and what the atoms draw."""
    by_name = {member.name: member for member in members}
    report.figure(
        image_grid(by_name[VAMP].shown[:36], _SHOWN),
        "pseudo-inputs",
        f"Pseudo-inputs of the {VAMP}, {min(36, config.pseudo_inputs)} of {config.pseudo_inputs}, which began as "
        "training images and were learned with the rest: the prior is the mixture of what the encoder says of them.",
    )
    report.figure(
        image_grid(by_name[SC].shown[:36], _SHOWN),
        "atoms",
        f"What single atoms of the {SC}'s dictionary draw when they stand, in the largest size of any, at all places.",
    )


def compare(report: Report, members: Sequence[Member], held_out: np.ndarray, quality: Quality, levels: int) -> None:
    """The table, and what the numbers say."""
    dims = held_out[0].size
    errors = {member.name: _errors(member, held_out) for member in members}
    bits = {member.name: bits_per_dim(-member.nll, dims) for member in members if member.nll is not None}
    rows = [
        {
            "model": member.name,
            BITS: mean_and_error(bits[member.name]) if member.name in bits else None,
            BOUND: mean_and_error(bits_per_dim(-member.bound, dims)) if member.bound is not None else None,
            RATE: mean_and_error(member.rate) if member.rate is not None else None,
            ERROR: mean_and_error(errors[member.name]),
            f"{FRECHET} of samples": quality(member.samples) if member.samples is not None else None,
            "of reconstructions": quality(_rebuilt(member, held_out)),
            "code": member.usage,
        }
        for member in members
    ]
    report.table(
        rows,
        f"Held-out images, mean and standard error over {len(held_out)} of them. −log p of {levels} levels: of the "
        f"VAEs by importance sampling, of the {VQ} a bound from above, −log p(index) − log p(x|index). Rate: KL of "
        "the code to the prior, or −log p(index). Reconstruction error: root mean square of a pixel in [−1, 1]. "
        f"{quality.describe}. A dimension is used if its mean code's variance exceeds .01 (Burda et al. 2016). A "
        "dash: it has no such value.",
        best={BITS: "min", ERROR: "min"},
    )
    report.metrics["models"] = rows
    report.metrics["floor"] = {FLOOR: quality.floor}
    for text in findings(bits, {m.name: m.rate for m in members if m.rate is not None}, errors):
        report.finding(text)
    able = {member.name: quality(member.samples) for member in members if member.samples is not None}
    report.finding(
        f"**Samples.** {FRECHET} "
        + ", ".join(f"{name} {distance:.3g}" for name, distance in sorted(able.items(), key=lambda item: item[1]))
        + f"; held-out images {quality.floor:.3g}. One set each, so small differences mean nothing."
    )
    report.finding("**Codes in use.** " + "; ".join(f"{member.name}: {member.usage}" for member in members) + ".")


def findings(bits: dict[str, np.ndarray], rates: dict[str, np.ndarray], errors: dict[str, np.ndarray]) -> list[str]:
    """What differs beyond chance, image by image, of one training each."""
    texts = []
    change = mean_and_error(bits[VAMP] - bits[VAE])
    told = "lower" if change.mean < 0 else "higher"
    kl = mean_and_error(rates[VAMP] - rates[VAE])
    texts.append(
        f"**{VAMP}.** Its −log p is "
        + (f"{told} than the {VAE}'s" if apart(bits[VAMP], bits[VAE]) else f"not told apart from the {VAE}'s")
        + f", by {change.mean:+.3f} ± {change.error:.3f} bits/dim, image by image, of one training each; its KL "
        + ("lower" if kl.mean < 0 else "higher")
        + f" by {abs(kl.mean):.2f} ± {kl.error:.2f} nats"
        + ("" if apart(rates[VAMP], rates[VAE]) else ", within chance")
        + "."
    )
    quantised = mean_and_error(bits[VQ] - bits[VAE])
    texts.append(
        f"**{VQ}.** The bound on its −log p is {quantised.mean:+.3f} ± {quantised.error:.3f} bits/dim from the {VAE}'s "
        "−log p"
        + (
            ", so it is better by at least that."
            if quantised.mean < 0 and apart(bits[VQ], bits[VAE])
            else "; being a bound, it may lie above what the model assigns."
        )
    )
    order = sorted(errors, key=lambda name: errors[name].mean())
    first, second = order[:2]
    texts.append(
        "**Reconstruction.** "
        + (
            f"{first} is nearest to the image"
            if apart(errors[first], errors[second])
            else f"{first} and {second} are not told apart as nearest"
        )
        + ": "
        + ", ".join(f"{name} {errors[name].mean():.3f}" for name in order)
        + "."
    )
    return texts


def _rebuilt(member: Member, images: np.ndarray) -> np.ndarray:
    flat = apply_in_batches(lambda x: member.decode(member.encode(x)).reshape(len(x), -1), images)
    return flat.reshape(images.shape)


def _errors(member: Member, images: np.ndarray) -> np.ndarray:
    difference = (_rebuilt(member, images) - images).reshape(len(images), -1)
    return np.sqrt(np.mean(difference**2, axis=-1))
