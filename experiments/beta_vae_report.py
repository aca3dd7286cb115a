"""The figures and tables of the β-VAE experiment."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoder import Trained
from experiments.chance import apart
from jaxgen.data import DSPRITES_FACTORS, DSprites, dsprites_factors
from jaxgen.metrics import apply_in_batches, binned_mig, dci, mean_and_error, modularity, posterior_mig, sap
from jaxgen.report import Panel2D, Report, dot_plot, image_grid, panels, panels_2d
from jaxgen.vae import elbo

Models = Mapping[float, Sequence[Trained]]

_SHOWN, _SWING = 12, 2.5
_FEW = 2000  # codes, of which forests are grown in seconds
ACTIVE = 0.1  # nats
MIG, CHEN = "MIG (Locatello)", "MIG (Chen)"


class Codes(NamedTuple):
    """Means and standard deviations of q(z|x), each (n, latents), and the KL divergence of each dimension."""

    mean: np.ndarray
    std: np.ndarray

    @property
    def kl(self) -> np.ndarray:
        """KL to N(0, 1) by dimension, the mean over images, in nats."""
        return 0.5 * np.mean(self.mean**2 + self.std**2 - 1 - 2 * np.log(self.std), axis=0)

    @property
    def order(self) -> np.ndarray:
        """The dimensions, the most informative first."""
        return np.argsort(-self.kl, kind="stable")


def encode(model: Trained, images: DSprites) -> Codes:
    """The codes of a whole set, in batches."""

    def both(codes):
        found = model.autoencoder.encoder.apply(model.params["encoder"], images.images(codes) / 255)
        return jnp.concatenate([found.mean, found.std], axis=-1)

    return Codes(*np.split(apply_in_batches(both, images.codes), 2, axis=-1))


def signed(probabilities) -> np.ndarray:
    """Probabilities as images in [−1, 1]."""
    return 2 * np.asarray(probabilities) - 1


def data(report: Report, images: DSprites, cropped: bool) -> None:
    """A grid of the data, and the size of its factors."""
    count = {name: len(np.unique(classes)) for name, classes in zip(DSPRITES_FACTORS, images.factors.T, strict=True)}
    report.figure(
        image_grid(images.images(images.codes[:60]), 15),
        "data",
        f"dSprites, 60 of {len(images)} training images of {images.size} × {images.size} pixels: "
        + ", ".join(f"{number} × {name}" for name, number in count.items() if number > 1)
        + "."
        + (
            " The places down are cut to a part of the dataset's: where x and y spread alike, two dimensions of a "
            "code at any angle to them serve as well as two along them, and chance decides which are learned."
            if cropped
            else ""
        ),
    )


def training(report: Report, models: Models, size: int) -> None:
    """Both terms of the objective along training, of each β's first seed."""
    scaled = "β" if size == 64 else f"β/{(64 // size) ** 2}, as each pixel stands for {(64 // size) ** 2} of 64 × 64"
    told = "−log p(x|z)" if size == 64 else "the cross-entropy of pixels that are averages of binary ones"
    report.figure(
        panels(
            {
                "reconstruction (nats)": {
                    f"β = {beta:g}": of[0].history["reconstruction"] for beta, of in models.items()
                },
                "KL (nats)": {f"β = {beta:g}": of[0].history["kl"] for beta, of in models.items()},
            },
            x_label="training step",
            smooth=9,
            log_y=("reconstruction (nats)",),
        ),
        "loss",
        f"The two terms of the objective on training batches, summed over an image, of each β's first seed: {told}, "
        f"and the KL divergence of q(z|x) to N(0, I), which the loss weighs by {scaled}.",
    )


def reconstructions(report: Report, models: Models, test: DSprites) -> None:
    """Held-out images, what becomes of them, and samples."""
    x = test.images(test.codes[:_SHOWN])
    rows, labels = [x / 127.5 - 1], ["held out"]
    samples = []
    for beta, (model, *_) in models.items():
        mean = encode(model, test.take(slice(_SHOWN))).mean
        rows.append(signed(model.autoencoder.image(model.params, jnp.asarray(mean, jnp.float32))))
        keys = jax.random.split(jax.random.key(7), _SHOWN)
        samples.append(signed(model.generate(model.params, keys, mean.shape[1:])))
        labels.append(f"β = {beta:g}")
    report.figure(
        image_grid(np.concatenate(rows), _SHOWN, row_labels=labels),
        "reconstructions",
        "Held-out images and, below, the mean image of their mean code.",
    )
    report.figure(
        image_grid(np.concatenate(samples), _SHOWN, row_labels=labels[1:]),
        "samples",
        "Mean images of codes drawn from the prior N(0, I), the same codes in each row.",
    )


class Scores(NamedTuple):
    """What is measured of one trained model."""

    mig: float
    gaps: np.ndarray
    chen: float
    disentanglement: float
    modularity: float
    sap: float
    reconstruction: float
    kl: float
    active: int


def measure(model: Trained, probe: DSprites, test: DSprites) -> Scores:
    """Every score of a model: of the codes of the probe's images, and the objective's terms on held-out ones."""
    codes, factors = encode(model, probe), probe.factors[:, 1:]
    binned = binned_mig(codes.mean, factors)
    terms = _bound_terms(model, test.take(slice(2048)))
    return Scores(
        mig=binned.score,
        gaps=binned.per_factor,
        chen=posterior_mig(codes.mean, codes.std, factors[:, 1:], samples=2000).score,
        disentanglement=dci(codes.mean[:_FEW], factors[:_FEW]).disentanglement,
        modularity=modularity(codes.mean, factors),
        sap=sap(codes.mean, factors, categorical=(0,)).score,
        reconstruction=float(terms[:, 0].mean()),
        kl=float(terms[:, 1].mean()),
        active=int(np.sum(codes.kl > ACTIVE)),
    )


def _bound_terms(model: Trained, images: DSprites) -> np.ndarray:
    """−log p(x|z) and KL of each image, (n, 2), in nats, by one draw of z."""

    def terms(codes):
        found = elbo(jax.random.key(5), model.autoencoder.model(model.params), images.images(codes) / 255)
        return jnp.stack([found.reconstruction, found.kl], axis=-1)

    return apply_in_batches(terms, images.codes)


def disentanglement(report: Report, models: Models, probe: DSprites, test: DSprites) -> None:
    """Every score by β, over the seeds, and what the numbers say."""
    scores = {beta: [measure(model, probe, test) for model in of] for beta, of in models.items()}
    seeds = len(next(iter(scores.values())))
    rows = [
        {
            "β": beta,
            **{
                title: mean_and_error(np.array([getattr(score, name) for score in of], float))
                for title, name in {
                    MIG: "mig", CHEN: "chen", "DCI": "disentanglement", "modularity": "modularity", "SAP": "sap",
                    "reconstruction": "reconstruction", "KL": "kl", "dimensions in use": "active",
                }.items()
            },
        }
        for beta, of in scores.items()
    ]  # fmt: skip
    report.table(
        rows,
        f"Mean and standard error over {seeds} trainings. MIG, DCI's disentanglement, modularity and SAP are of mean "
        f"codes of {len(probe)} images (DCI of {min(len(probe), _FEW)}) and their shape, scale, orientation, x and y; "
        "MIG (Locatello) by 20 bins, MIG (Chen) of samples of q(z|x), without the shape: the two do not compare. "
        "Reconstruction and KL are the objective's terms in nats an image, on held-out images; a dimension is in use "
        f"if its KL exceeds {ACTIVE} nats.",
        best={MIG: "max", CHEN: "max"},
    )
    names = list(DSPRITES_FACTORS)[1:]
    report.table(
        [
            {"β": beta}
            | {name: mean_and_error(gap) for name, gap in zip(names, np.transpose([s.gaps for s in of]), strict=True)}
            for beta, of in scores.items()
        ],
        "MIG (Locatello) by factor: the lead, in shares of the factor's entropy, of the dimension that knows most of "
        "it.",
    )
    report.figure(
        dot_plot(
            {
                title: {f"β = {beta:g}": _range([getattr(score, name) for score in of]) for beta, of in scores.items()}
                for title, name in {MIG: "mig", CHEN: "chen"}.items()
            },
            x_label="mutual information gap",
        ),
        "mig",
        f"The mutual information gap by β in both definitions: mean, lowest and highest of {seeds} trainings.",
    )
    report.metrics["scores"] = {f"{beta:g}": [score._asdict() for score in of] for beta, of in scores.items()}
    for text in findings(scores):
        report.finding(text)


def findings(scores: Mapping[float, Sequence[Scores]]) -> list[str]:
    """What rises and falls with β beyond chance, seed by seed."""

    def values(name: str) -> dict[float, np.ndarray]:
        return {beta: np.array([getattr(score, name) for score in of]) for beta, of in scores.items()}

    low, high = min(scores), max(scores)
    texts = []
    for title, name in {MIG: "mig", CHEN: "chen"}.items():
        found = values(name)
        path = ", ".join(
            f"{of.mean():.3f} ± {mean_and_error(of).error:.3f} at β = {beta:g}" for beta, of in found.items()
        )
        texts.append(f"**{title}** {course(found)}: {path}.")
    kl, reconstruction = values("kl"), values("reconstruction")
    texts.append(
        f"**The price.** KL {course(kl)}, from {kl[low].mean():.1f} to {kl[high].mean():.1f} nats, and reconstruction "
        f"takes {reconstruction[low].mean():.0f} nats at β = {low:g} and {reconstruction[high].mean():.0f} at β = "
        f"{high:g}."
    )
    return texts


def course(values: Mapping[float, np.ndarray]) -> str:
    """Whether values over seeds rise or fall with β, at every step or between the ends, beyond chance."""
    betas = list(values)
    signs = [
        int(np.sign(np.mean(values[b] - values[a]))) if apart(values[b], values[a]) else 0 for a, b in pairwise(betas)
    ]
    ends = np.mean(values[betas[-1]] - values[betas[0]]) if apart(values[betas[-1]], values[betas[0]]) else 0
    for sign, word in ((1, "rises"), (-1, "falls")):
        if all(found == sign for found in signs):
            return f"{word} with β at every step"
        if np.sign(ends) == sign:
            return f"{word} from the first β to the last, though not at every step"
    return "does not change from the first β to the last beyond chance"


def traversals(report: Report, models: Models, test: DSprites) -> None:
    """What each dimension of the code draws, one at a time, about the code of one image."""
    values = np.linspace(-_SWING, _SWING, 11)
    for beta, (model, *_) in models.items():
        codes = encode(model, test.take(slice(512)))
        shown = codes.order[:_SHOWN]
        z = np.repeat(codes.mean[:1], len(shown) * len(values), 0).reshape(len(shown), len(values), -1)
        for row, dim in enumerate(shown):
            z[row, :, dim] = values
        drawn = model.autoencoder.image(model.params, jnp.asarray(z.reshape(-1, z.shape[-1]), jnp.float32))
        report.figure(
            image_grid(
                signed(drawn),
                len(values),
                titles=[f"{value:.1f}" for value in values],
                row_labels=[f"{codes.kl[dim]:.2f} nats" for dim in shown],
            ),
            f"traversal-{beta:g}".replace(".", "-"),
            f"β = {beta:g}: one dimension of the code of one held-out image moved from {values[0]:g} to "
            f"{values[-1]:g}, the others kept. On the left what the dimension holds of an image (KL), the most first; "
            "one that holds nothing changes nothing.",
        )


def positions(report: Report, models: Models, images: DSprites) -> None:
    """Mean codes as functions of the position, and of two dimensions against each other."""
    down = np.unique(images.factors[:, -1])
    lattice = DSprites(size=images.size, average=images.average).subset(scale=3, orientation=0, y=down)
    maps, titles, panels_ = [], [], []
    for beta, (model, *_) in models.items():
        codes = encode(model, lattice)
        # over the shapes, one value at each position, y down
        by_place = codes.mean.reshape(3, 32, len(down), -1).mean(0).transpose(1, 0, 2)
        maps.append(np.clip(by_place[..., codes.order].transpose(2, 0, 1)[..., None] / _SWING, -1, 1))
        titles += [f"{codes.kl[dim]:.2f}" for dim in codes.order]
        first, second = codes.order[:2]
        panels_.append(
            Panel2D(
                f"β = {beta:g}",
                points=codes.mean[::2, [first, second]],
                groups=dsprites_factors(lattice.index[::2])[:, 1],
            )
        )
    report.figure(
        image_grid(
            np.concatenate(maps), maps[0].shape[0], titles=titles, row_labels=[f"β = {beta:g}" for beta in models]
        ),
        "positions",
        "Each dimension's mean code by the position of the shape in the image, mean over the three shapes at one scale "
        f"and orientation: black −{_SWING:g}, white {_SWING:g}. Above each its KL in nats, the most on the left. A "
        "dimension that stands for x or y alone is striped; a grey one does not see the position.",
    )
    report.figure(
        panels_2d([panels_], (-4.0, 4.0), group_labels=["square", "ellipse", "heart"]),
        "codes",
        "Mean codes of all positions of the three shapes, in the two dimensions with the most KL.",
    )


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.mean(values)), min(values), max(values)
