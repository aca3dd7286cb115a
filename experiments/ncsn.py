"""NCSN on images: annealed Langevin sampling with and without each technique of NCSNv2 (Song & Ermon 2019, 2020).

The seminar's chapter on noise-conditional score networks. One network in NCSNv2's way and one in NCSN's serve every
comparison: each technique is taken away from the whole, one at a time, at about equal cost; then all of them.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import launch
from experiments import ncsn_report as figures
from experiments.features import Quality, train_judge
from experiments.images import load, source
from experiments.training import train_network
from jaxgen.diffusion import denoiser, denoising_loss, ncsn, ve, weighting
from jaxgen.diffusion.times import noise_grid
from jaxgen.nets import UNet
from jaxgen.report import Report, image_grid
from jaxgen.samplers import Sampler, annealed_langevin, heun, sample
from jaxgen.training import History


@dataclass(frozen=True)
class Config:
    """Train noise-conditional score networks and sample them with and without each technique of NCSNv2."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; paper: sizes for a GPU."""
    data: Path | None = None
    """Real images (.npy, .npz, folder, tar); without it, sprites are rendered."""
    subset: str | None = None
    """Part of the data to use, such as train."""
    size: int = 16
    """Height and width of the images in pixels."""
    resize: bool = False
    """Resize images of another size (bicubic); otherwise they are refused."""
    images: int = 20_000
    """Sprites to render."""
    sigma_last: float = 0.02
    """The last noise level σ_L, of images in [−1, 1]."""
    langevin_steps: int = 5
    """T, Langevin steps at each level."""
    channels: int = 16
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level, in multiples of the first."""
    steps: int = 3000
    """Training steps of each of the two networks."""
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Constant, as in the paper: the average does what a decay would."""
    ema: float = 0.999
    """Decay of the averaged parameters (technique 5)."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 128
    """Samples per variant, drawn as one batch."""
    checkpoint_every: int = 1000
    seed: int = 0
    progress: bool = True
    """Show a progress bar."""
    runs: Path = Path("runs")
    """Where the run's directory is made."""
    resume: Path | None = None
    """Directory of an interrupted run to continue, with its flags."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        for name in ("steps", "batch_size", "images", "judge_steps", "channels", "checkpoint_every", "langevin_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.samples < 15:
            raise ValueError(f"the figures show 15 samples, got --samples {self.samples}")
        if not 0 < self.sigma_last < 1:
            raise ValueError(
                f"--sigma-last lies in (0, 1), below the 1 where NCSN's ladder begins, got {self.sigma_last}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, sigma_last=0.5, langevin_steps=1, channels=8, multipliers=(1,), steps=6,
        batch_size=8, judge_steps=4, samples=15, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, channels=128, multipliers=(1, 2, 2), steps=300_000, batch_size=128,
        learning_rate=1e-4, judge_steps=4000, samples=3000, checkpoint_every=5000,
    ),
}  # fmt: skip


class Ladder(NamedTuple):
    """Noise levels σ_1 > … > σ_L, n of them."""

    first: float
    last: float
    n: int

    @property
    def gamma(self) -> float:
        """The ratio of neighbouring levels."""
        return (self.first / self.last) ** (1 / (self.n - 1))


class Network(NamedTuple):
    """A trained network, told the noise level or not, with its raw and its averaged parameters."""

    told: bool
    net: UNet
    raw: Any
    averaged: Any
    history: History


class Variant(NamedTuple):
    """A way to sample: the ladder, the network, T steps of ε each, which parameters, and whether to denoise."""

    ladder: Ladder
    network: Network
    steps: int
    step_size: float
    averaged: bool = True
    final_denoising: bool = True


def score_network(process, net: UNet, params: Any, told: bool):
    """s(x)/σ of a network that is told nothing (technique 3), or s(x, t) of one that is told the time, as NCSN's."""
    network = partial(net.apply, params)
    return network if told else ncsn.divided_by_sigma(process, network)


def train(config: Config, ladder: Ladder, told: bool, seed: int, train_images, held_out, directory: Path) -> Network:
    """A network trained on the levels of a ladder, all weighted alike by λ = σ² (Song & Ermon 2019, eq. 6)."""
    process, net = ve(ladder.last, ladder.first), UNet(config.channels, config.multipliers)
    params = jax.jit(net.init)(jax.random.key(seed, impl="rbg"), held_out[:1], jnp.zeros(1))

    def loss(key, params, batch):
        return denoising_loss(
            key, process, score_network(process, net, params, told), batch[0], predicts="score",
            weighting=weighting.simple(), times=ncsn.ladder_times(ladder.n),
        )  # fmt: skip

    trained = train_network(
        config, params, loss, (train_images,), directory, seed=seed, schedule="constant",
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out,))),
    )  # fmt: skip
    return Network(told, net, trained.params, trained.averaged, trained.history)


def variants(config: Config, ladder: Ladder, ours: Network, told: Network) -> dict[str, Variant]:
    """NCSNv2, the same without each of its techniques at about as many calls, and NCSN, without any."""
    calls = ladder.n * config.langevin_steps

    def on(levels: Ladder, network: Network = ours) -> Variant:
        steps = max(1, round(calls / levels.n))
        return Variant(levels, network, steps, ncsn.step_size(*levels, steps))

    whole = on(ladder)
    # NCSN: from σ = 1 in ten levels, T = 100, ε = 2e-5 at σ_L = .01, which is .2 of its variance
    few, narrow, old_step = 10, 1.0, 0.2 * ladder.last**2
    old = Ladder(narrow, ladder.last, few)
    narrowed = Ladder(narrow, ladder.last, ncsn.levels(narrow, ladder.last, ladder.gamma))
    return {
        "NCSNv2": whole,
        "without 1: σ₁ = 1": on(narrowed),
        "without 2: ten levels": on(ladder._replace(n=few)),
        "without 3: a network told σ": on(ladder, told),
        "without 4: NCSN's ε": whole._replace(step_size=old_step),
        "without 5: no average": whole._replace(averaged=False),
        "without the last denoising": whole._replace(final_denoising=False),
        "NCSN: without all": Variant(old, told, max(1, calls // few), old_step, averaged=False, final_denoising=False),
    }


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        net = UNet(config.channels, config.multipliers)
        jax.eval_shape(net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("ncsn", config)
    report = Report(
        "Noise-conditional score networks, technique by technique",
        "Which of NCSNv2's techniques do annealed Langevin samples owe their quality to?",
        launch.command("experiments.ncsn"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    # the farthest pair is white against black: a subset finds nearly the same distance
    first = float(ncsn.largest_distance(train_set.images, subset=5000, key=jax.random.key(config.seed)))
    gamma = ncsn.ratio(train_set.images[0].size)
    ladder = Ladder(first, config.sigma_last, ncsn.levels(first, config.sigma_last, gamma))
    process = ve(ladder.last, ladder.first)
    data = train_set.images, jnp.asarray(test_set.images[:256])
    ours = train(config, ladder, False, config.seed, *data, directory / "NCSNv2")
    told = train(config, ladder, True, config.seed, *data, directory / "NCSN")
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)

    def draw(variant: Variant, sampler: Sampler, *, trajectory: bool = False, denoised: bool = False) -> np.ndarray:
        params = variant.network.averaged if variant.averaged else variant.network.raw
        shape, some = train_set.images.shape[1:], keys[:6] if trajectory else keys
        grid = noise_grid(process, ncsn.geometric_sigmas(*variant.ladder))

        @jax.jit
        def run(params):
            network = score_network(process, variant.network.net, params, variant.network.told)
            denoise = denoiser(process, network, predicts="score")
            x = sample(some, process, denoise, sampler, grid, shape, trajectory=trajectory)
            return denoise(x, 0.0).x0 if denoised else x

        return np.asarray(run(params))

    chosen = variants(config, ladder, ours, told)
    report.section("The data and the ladder")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    figures.ladder(report, ladder, gamma, chosen["NCSNv2"], train_set.images[0].size)
    figures.losses(report, {"NCSNv2: s(x)/σ": ours, "NCSN: s(x, σ)": told}, config.batch_size)
    report.section("With and without each technique")
    images = {name: draw(variant, langevin_of(variant)) for name, variant in chosen.items()}
    # what a later sampler makes of the same network
    heun_steps = 25
    thinned = chosen["NCSNv2"]._replace(ladder=ladder._replace(n=heun_steps))
    later = draw(thinned, heun(), denoised=True)
    figures.compare(report, chosen, images, later, 2 * heun_steps, quality)
    report.section("From noise to an image")
    figures.through_the_levels(report, ladder, draw(chosen["NCSNv2"], langevin_of(chosen["NCSNv2"]), trajectory=True))
    path = report.save(directory)
    print(f"report: {path}")
    return path


def langevin_of(variant: Variant) -> Sampler:
    """Annealed Langevin dynamics as the variant asks for."""
    return annealed_langevin(variant.step_size, variant.ladder.last, variant.steps, variant.final_denoising)


if __name__ == "__main__":
    launch.run(main, PRESETS)
