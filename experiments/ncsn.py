"""NCSN on images: annealed Langevin sampling with and without each technique of NCSNv2 (Song & Ermon 2019, 2020).

The seminar's chapter on noise-conditional score networks. One network in NCSNv2's way and one in NCSN's serve every
comparison: each technique is taken away from the whole, one at a time, at about equal cost; then all of them. Every
way to sample gets the same keys, in several independent sets, so that differences have a standard error.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import launch
from experiments import ncsn_report as figures
from experiments.config import UNetConfig
from experiments.features import Quality, train_judge
from experiments.images import load, source
from experiments.training import initial_parameters, train_network
from jaxgen.diffusion import GaussianProcess, denoiser, denoising_loss, ncsn, noise_grid, ve, weighting
from jaxgen.nets import UNet
from jaxgen.report import Report, image_grid
from jaxgen.samplers import Sampler, annealed_langevin, heun, sample
from jaxgen.training import History


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train noise-conditional score networks and sample them with and without each technique of NCSNv2."""

    sigma_last: float = 0.02
    """The last noise level σ_L, of images in [−1, 1]."""
    langevin_steps: int = 3
    """T, Langevin steps at each level; the paper's 5 take longer."""
    steps: int = 3000
    """Training steps of each of the two networks."""
    learning_rate: float = 2e-3
    """Constant, as in the paper: the average does what a decay would."""
    ema: float = 0.999
    """Decay of the averaged parameters (technique 5)."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 80
    """Samples in a set, drawn as one batch."""
    sets: int = 4
    """Independent sets of samples per variant, over which errors are taken."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "judge_steps", "langevin_steps")
        if self.samples < 15:
            raise ValueError(f"the figures show 15 samples, got --samples {self.samples}")
        if self.sets < 2:
            raise ValueError(f"a standard error takes two sets of samples or more, got --sets {self.sets}")
        if not 0 < self.sigma_last < 1:
            raise ValueError(
                f"--sigma-last lies in (0, 1), below the 1 where NCSN's ladder begins, got {self.sigma_last}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, sigma_last=0.5, langevin_steps=1, channels=8, multipliers=(1,), steps=6,
        batch_size=8, judge_steps=4, samples=15, sets=2, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, langevin_steps=5, channels=128, multipliers=(1, 2, 2),
        steps=300_000, batch_size=128, learning_rate=1e-4, judge_steps=4000, samples=1000, checkpoint_every=5000,
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

    @property
    def params(self) -> Any:
        """The parameters it samples with."""
        return self.network.averaged if self.averaged else self.network.raw

    @property
    def predicted_noise(self) -> float:
        """Standard deviation over σ_L in which chains end around data at one point, level after level.

        The score of a network told σ pulls by the distance over σ², which gives the variance equation; that of a
        network told nothing by a unit vector's √D over σ, however far it is: the noise it sees sets the scale.
        """
        half_step, noise = self.step_size / (2 * self.ladder.last**2), 1.0
        for level in range(self.ladder.n):
            noise *= self.ladder.gamma if level else 1.0  # the prior has the first level's noise
            for _ in range(self.steps):
                kept = noise * (1 - half_step) if self.network.told else noise - half_step
                noise = math.sqrt(kept**2 + 2 * half_step)
        return noise


class Drawn(NamedTuple):
    """Where chains end, and what one more call makes of it: two arrays of images (sets, n, h, w, c)."""

    chain: np.ndarray
    denoised: np.ndarray


def score_network(process, net: UNet, params: Any, told: bool):
    """s(x)/σ of a network that is told nothing (technique 3), or s(x, t) of one that is told the time, as NCSN's."""
    network = partial(net.apply, params)
    return network if told else ncsn.sigma_scaled_score(process, network)


def train(config: Config, ladder: Ladder, told: bool, seed: int, train_images, held_out, directory: Path) -> Network:
    """A network trained on the levels of a ladder, all weighted alike by λ = σ² (Song & Ermon 2019, eq. 6)."""
    process, net = ve(ladder.last, ladder.first), config.unet()
    params = initial_parameters(net, seed, held_out[:1], jnp.zeros(1))

    def loss(key, params, batch):
        return denoising_loss(
            key, process, score_network(process, net, params, told), batch[0], predicts="score",
            weighting=weighting.simple(), times=ncsn.noise_level_times(ladder.n),
        )  # fmt: skip

    trained = train_network(
        config, params, loss, (train_images,), directory, seed=seed, schedule="constant",
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out,))),
    )  # fmt: skip
    return Network(told, net, trained.params, trained.averaged, trained.history)


def variants(config: Config, ladder: Ladder, ours: Network, told: Network) -> dict[str, Variant]:
    """NCSNv2, the same without each of its techniques at about as many calls, and NCSN, without any.

    A star marks those that sample on another ladder than their network was trained on.
    """
    calls = ladder.n * config.langevin_steps

    def on(levels: Ladder, network: Network = ours) -> Variant:
        steps = max(1, round(calls / levels.n))
        return Variant(levels, network, steps, ncsn.step_size(*levels, steps))

    whole = on(ladder)
    # NCSN: ten levels from σ = 1 to .01, T = 100, ε = 2e-5, which is .2 of the last variance
    few, narrow, old_step = 10, 1.0, 0.2 * ladder.last**2
    old = Ladder(narrow, ladder.last, few)
    narrowed = Ladder(narrow, ladder.last, ncsn.num_noise_levels(narrow, ladder.last, ladder.gamma))
    return {
        figures.WHOLE: whole,
        "without 1*: σ₁ = 1": on(narrowed),
        "without 2*: ten levels": on(ladder._replace(n=few)),
        figures.TOLD: on(ladder, told),
        figures.OLD_STEP: whole._replace(step_size=old_step),
        figures.HALF_STEP: whole._replace(step_size=whole.step_size / 2),
        "without 5: no average": whole._replace(averaged=False),
        figures.UNDENOISED: whole._replace(final_denoising=False),
        "NCSN*: without all": Variant(old, told, max(1, calls // few), old_step, averaged=False, final_denoising=False),
    }


def draw(
    variant: Variant, sampler: Sampler, process: GaussianProcess, keys, shape: tuple[int, ...], trajectory: bool = False
) -> Drawn:
    """A sample per key (sets, n) by `sampler` on the variant's ladder, or its states (sets, levels + 1, n, …)."""

    @jax.jit
    def run(params, keys):
        network = score_network(process, variant.network.net, params, variant.network.told)
        denoise = denoiser(process, network, predicts="score")
        grid = noise_grid(process, ncsn.geometric_sigmas(*variant.ladder))
        x = sample(keys, process, denoise, sampler, grid, shape, trajectory=trajectory)
        return Drawn(x, denoise(x[-1] if trajectory else x, 0.0).x0)

    return Drawn(*map(np.stack, zip(*(run(variant.params, some) for some in keys), strict=True)))


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        net = config.unet()
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
    examined = min(5000, len(train_set))
    first = float(ncsn.max_pairwise_distance(train_set.images, subset=examined, key=jax.random.key(config.seed)))
    gamma = ncsn.overlap_ratio(train_set.images[0].size)
    ladder = Ladder(first, config.sigma_last, ncsn.num_noise_levels(first, config.sigma_last, gamma))
    process = ve(ladder.last, ladder.first)
    data = train_set.images, jnp.asarray(test_set.images[:256])
    ours = train(config, ladder, False, config.seed, *data, directory / "NCSNv2")
    told = train(config, ladder, True, config.seed, *data, directory / "NCSN")
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)
    keys = jax.random.split(jax.random.key(config.seed + 3), (config.sets, config.samples))
    shape = train_set.images.shape[1:]
    chosen = variants(config, ladder, ours, told)
    whole = chosen[figures.WHOLE]
    report.section("The data and the ladder")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    figures.ladder(report, chosen, gamma, train_set.images[0].size, examined)
    figures.losses(report, {"NCSNv2: s(x)/σ": ours, "NCSN: s(x, σ)": told}, config.batch_size)
    report.section("With and without each technique")
    drawn = {
        name: draw(variant, langevin_of(variant), process, keys, shape)
        for name, variant in chosen.items()
        if name != figures.UNDENOISED
    }
    drawn[figures.UNDENOISED] = drawn[figures.WHOLE]  # the same chains
    # what a later sampler makes of both networks
    heun_steps = 25
    later = {
        name: draw(chosen[of]._replace(ladder=ladder._replace(n=heun_steps)), heun(), process, keys, shape)
        for name, of in ((figures.HEUN, figures.WHOLE), (figures.HEUN_TOLD, figures.TOLD))
    }
    # sets that share no image while there are enough
    held_out = test_set.images[np.resize(np.arange(len(test_set)), (config.sets, config.samples))]
    figures.compare(report, chosen, drawn, later, 2 * heun_steps - 1, held_out, quality)
    report.section("From noise to an image")
    states = draw(whole, langevin_of(whole), process, keys[:1, :6], shape, trajectory=True)
    figures.through_the_levels(report, ladder, np.concatenate([states.chain[0, :-1], states.denoised]))
    path = report.save(directory)
    print(f"report: {path}")
    return path


def langevin_of(variant: Variant) -> Sampler:
    """Annealed Langevin dynamics as the variant asks for, up to the last denoising."""
    return annealed_langevin(variant.step_size, variant.ladder.last, variant.steps)


if __name__ == "__main__":
    launch.run(main, PRESETS)
