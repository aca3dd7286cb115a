"""The figures and tables of the comparison; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.kit.run import Run
from experiments.kit.statistics import over_repetitions
from experiments.kit.wording import interval
from experiments.vae_gan.config import Config
from experiments.vae_gan.draw import GAN, MEANS, REAL, RECONSTRUCTIONS, SAMPLES
from experiments.vae_gan.measure import POINTS, Measured
from experiments.vae_gan.measure_own import HELD_OUT
from experiments.vae_gan.measure_tests import LINEAR, NOISY, OWN_KIND
from jaxgen.report import curves, dot_plot, format_value, image_grid, panels, table

COLUMNS = 15
OWN = "the GAN's own"
KINDS = {OWN_KIND: "fresh", NOISY: "fresh, under noise", LINEAR: "fresh, linear"}
BINS = 40


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables={"everything": table(rows)},
    )


def all_rows(measured: Measured) -> list[dict[str, str]]:
    """A row for each measure, a column for each set."""

    def row(measure: str, value: Any) -> dict[str, str]:
        return {"": measure} | {name: value(name) for name in measured.distances}

    def averaged(field: str, factor: float = 1.0) -> Any:
        return lambda name: format_value(tuple(over_repetitions(factor * getattr(measured.distances[name], field))))

    fresh, own = measured.tests[OWN_KIND], measured.own.tests
    return [
        row("Fréchet distance", averaged("frechet")),
        row("kernel distance × 1000", averaged("kernel", 1000)),
        row("precision", averaged("precision")),
        row("recall", averaged("recall")),
        *(
            row(f"{KINDS[kind]}: accuracy", lambda name, of=of: interval(of[name].accuracy))
            for kind, of in measured.tests.items()
        ),
        row("fresh: AUC", lambda name: format_value(tuple(fresh[name].auc))),
        row("fresh: JSD at least (nats)", lambda name: format_value(tuple(fresh[name].jsd_bound))),
        row(f"{OWN}: accuracy", lambda name: interval(own[name].accuracy)),
        row(f"{OWN}: AUC", lambda name: format_value(tuple(own[name].auc))),
        row(f"{OWN}: called real", lambda name: interval(measured.own.called_real[name])),
        row("nearest training image", averaged("nearest")),
    ]


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    return {
        "images": measured.number,
        "discriminators": {KINDS[kind]: of for kind, of in measured.tests.items()} | {OWN: measured.own.tests},
        "called real by the GAN's own": measured.own.called_real,
        "distances": measured.distances,
        "nearest training image of held-out images": measured.nearest_real,
        "losses": {
            "VAE, held out": measured.vae_history["eval/loss"][1][-1],
            **{f"GAN, {name}": measured.gan_history[f"{name}/loss"][1][-1] for name in ("generator", "critic")},
        },
        "parameters": measured.parameters,
    }


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    shown, columns = measured.shown, COLUMNS
    return {
        "real": image_grid(measured.real, columns),
        "loss": losses(measured),
        "gan": image_grid(shown[GAN], columns),
        "means": image_grid(shown[MEANS], columns),
        "samples": image_grid(shown[SAMPLES], columns),
        "reconstructions": image_grid(
            np.concatenate([measured.real[:columns], shown[RECONSTRUCTIONS][:columns]]), row_labels=["real", "VAE"],
            columns=columns,
        ),
        "interpolations": image_grid(
            np.concatenate([measured.interpolations[MEANS], measured.interpolations[GAN]]),
            POINTS,
            row_labels=[
                label if i == 0 else ""
                for label, name in (("VAE", MEANS), ("GAN", GAN))
                for i in range(len(measured.interpolations[name]) // POINTS)
            ],
        ),
        "nearest": image_grid(
            np.concatenate([
                each for name, near in measured.nearest.items() for each in (shown[name][: len(near)], near)
            ]),
            len(measured.nearest[GAN]),
            row_labels=["VAE", "nearest", "GAN", "nearest"],
        ),
        "accuracies": accuracies(measured),
        "scores": scores(measured),
    }  # fmt: skip


def losses(measured: Measured) -> Figure:
    """The VAE's loss, both players' losses, and the logits of the GAN's own discriminator."""
    vae, gan = measured.vae_history, measured.gan_history
    training = "training"
    return panels(
        {
            "VAE: −ELBO (nats)": {training: vae["loss"], "held out": vae["eval/loss"]},
            "GAN: losses": {"generator": gan["generator/loss"], "discriminator": gan["critic/loss"]},
            "GAN: mean logits": {
                training: gan["eval/train"], "held out": gan["eval/held_out"], "generator": gan["critic/fake_logit"],
            },
        },
        x_label="training step",
        smooth={training: 1, "held out": 1, "generator": 9, "discriminator": 9},
    )  # fmt: skip


def accuracies(measured: Measured) -> Figure:
    """The accuracy of every discriminator on every set."""
    tests = {KINDS[kind]: of for kind, of in measured.tests.items()} | {OWN: measured.own.tests}
    return dot_plot(
        {kind: {name: tuple(found.accuracy) for name, found in of.items()} for kind, of in tests.items()},
        x_label="accuracy against real images",
        levels={"chance": 0.5},
        row_height=44,
    )


def scores(measured: Measured) -> Figure:
    """Histograms of the logits of the first repetition's own discriminator."""
    names = {HELD_OUT: "real, held out", REAL: "real, training", GAN: GAN, MEANS: MEANS, SAMPLES: SAMPLES}
    logits = {HELD_OUT: measured.own.held_out[0]} | {name: of[0] for name, of in measured.own.logits.items()}
    pooled = np.concatenate([logits[name] for name in names])
    edges = np.linspace(*np.quantile(pooled, [0.002, 0.998]), BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    return curves(
        {label: (middle, np.histogram(logits[name], edges)[0] / len(logits[name])) for name, label in names.items()},
        x_label="logit of the GAN's own discriminator: positive is called real",
        y_label="share of images",
        smooth=5,
    )
