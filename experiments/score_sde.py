"""Score SDEs: VE, VP and sub-VP, every sampler, the probability-flow ODE, likelihoods and codes.

The seminar's chapter on score-based models by stochastic differential equations (Song et al. 2021), and the exam's
question on the reverse SDE and its corrector. In x/alpha and sigma/alpha the three processes are one, so one trained
denoiser serves them all, sampled in every way at equal cost; `--separate` trains one per process, as the paper does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments import launch
from experiments import score_sde_samplers as samplers
from experiments import score_sde_solvers as solvers
from experiments.config import UNetConfig
from experiments.features import Quality, train_judge
from experiments.images import load, source
from experiments.score_model import Model, train
from jaxgen.data import to_uint8
from jaxgen.diffusion import GaussianProcess, sub_vp, ve, vp
from jaxgen.nets import UNet
from jaxgen.report import Report, image_grid


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train score models under three SDEs and sample them in every way."""

    separate: bool = False
    """Train one network per process, in its own time, instead of one on EDM's noise levels for all three."""
    twin_steps: int = 800
    """Training steps of the network of another seed, for the comparison of codes."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 100
    """Samples per method, drawn as one batch."""
    calls: tuple[int, ...] = (10, 20, 50)
    """Network calls per sample in the comparison of samplers."""
    corrector_calls: int = 40
    """Network calls of the predictor, and of predictor and corrector together."""
    snr: float = 0.5
    """r of the corrector; Song et al. 2021 take .16, with a thousand steps."""
    tolerances: tuple[float, ...] = (1e-1, 1e-2, 1e-3)
    """rtol = atol of the adaptive ODE; the last is also the reference for the others."""
    likelihood_images: int = 32
    """Held-out images whose likelihood is computed."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "twin_steps", "judge_steps")
        if self.samples < 20 or self.likelihood_images < 8:
            raise ValueError(
                f"the figures show 20 samples and 8 codes: got --samples {self.samples} and "
                f"--likelihood-images {self.likelihood_images}"
            )
        if not self.calls or min(self.calls) < 3 or self.corrector_calls < 4:
            raise ValueError(
                f"Heun needs 3 calls for two steps, a corrector 4: got --calls {self.calls} and "
                f"--corrector-calls {self.corrector_calls}"
            )
        if not self.snr > 0:
            raise ValueError(f"--snr must be positive, got {self.snr}")
        if not self.tolerances or not all(0 < tolerance < 1 for tolerance in self.tolerances):
            raise ValueError(f"--tolerances lie in (0, 1), got {self.tolerances}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, channels=8, multipliers=(1,), steps=6, twin_steps=4, batch_size=8, judge_steps=4,
        samples=20, calls=(3, 4), corrector_calls=4, tolerances=(0.5, 0.1), likelihood_images=8, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, separate=True, channels=128, multipliers=(1, 2, 2), steps=100_000,
        twin_steps=100_000, batch_size=128,
        learning_rate=2e-4, ema=0.9999, judge_steps=4000, samples=3000, calls=(5, 10, 20, 50, 100, 200, 500, 1000),
        corrector_calls=2000, snr=0.16, tolerances=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5), likelihood_images=1000,
        checkpoint_every=5000,
    ),
}  # fmt: skip


def processes() -> dict[str, GaussianProcess]:
    """The three SDEs with the constants of Song et al. 2021, VE as wide as EDM's levels.

    Images on white are far from centred: the prior must drown their mean, of length 13 in 16×16×3, as well as their
    largest distance (NCSNv2's rule for VE's last sigma).
    """
    return {"VE": ve(0.01, 80.0), "VP": vp(), "sub-VP": sub_vp()}


def train_all(
    config: Config, net: UNet, kinds: dict[str, GaussianProcess], *data: Any, directory: Path
) -> tuple[dict, Model]:
    """A model of each process, and one more of VP, of another seed."""
    if config.separate:
        models = {
            name: train(config, net, kind, config.steps, config.seed, *data, directory / name)
            for name, kind in kinds.items()
        }
    else:
        shared = train(config, net, None, config.steps, config.seed, *data, directory / "shared")
        models = {name: shared._replace(process=kind) for name, kind in kinds.items()}
    kind = kinds["VP"] if config.separate else None
    twin = train(config, net, kind, config.twin_steps, config.seed + 100, *data, directory / "twin")
    return models, twin._replace(process=kinds["VP"])


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        net = config.unet()
        jax.eval_shape(net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("score_sde", config)
    report = Report(
        "Score SDEs: every sampler, the ODE, and likelihoods",
        "How does quality grow with network calls for each sampler, under the VE, VP and sub-VP SDEs; what does a "
        "corrector add, how likely are held-out images, and does the ODE's code belong to the image or to the network?",
        launch.command("experiments.score_sde"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    train_images, held_out = to_uint8(train_set.images), to_uint8(test_set.images)
    kinds = processes()
    data = train_images, jnp.asarray(held_out[:256])
    models, twin = train_all(config, net, kinds, *data, directory=directory)
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)
    draws = {name: samplers.ModelDrawer(model, keys) for name, model in models.items()}

    report.section("The data and the three processes")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    samplers.three_processes(report, kinds, train_set.images[:3])
    trained = models if config.separate else {"all processes": models["VP"]}
    samplers.training(report, trained, twin, config.batch_size)

    report.section("Every sampler, by network calls")
    images = samplers.quality_by_calls(report, draws["VP"], quality, config.calls, config.tolerances[-1])
    samplers.own_clocks(report, draws, quality, config.calls)
    if not config.separate:
        samplers.one_denoiser(report, draws, images, config.calls)
    report.section("Predictor and corrector")
    samplers.predictor_corrector_comparison(report, draws, quality, config.corrector_calls, config.snr)
    report.section("The adaptive ODE")
    solvers.adaptive_ode(report, models, quality, keys, config.tolerances, config.corrector_calls)
    report.section("Likelihood")
    solvers.likelihood(report, models, held_out, config.likelihood_images, config.seed)
    report.section("Codes")
    solvers.unique_encoding(report, models["VP"], twin, held_out[: config.likelihood_images], config.seed)
    solvers.interpolation(report, models["VP"], held_out, config.seed)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)
