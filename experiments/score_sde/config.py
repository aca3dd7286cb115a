"""The flags of the score-SDE exercise."""

from dataclasses import dataclass

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig
from experiments.score_sde.samplers import METHODS, Name


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train score models under three SDEs and sample them in every way."""

    separate: bool = False
    """Train one network per process, in its own time, instead of one on EDM's noise levels for all three."""
    twin_steps: int = 800
    """Training steps of the network of another seed, for the comparison of codes."""
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 100
    """Samples per method, drawn as one batch."""
    samplers: tuple[Name, ...] = tuple(METHODS)
    """Samplers in the comparison by network calls."""
    calls: tuple[int, ...] = (10, 20, 50)
    """Network calls per sample in the comparison of samplers."""
    corrector_calls: int = 40
    """Network calls of the predictor, and of predictor and corrector together."""
    snr: float = 0.5
    """r of the corrector; Song et al. 2021 take 0.16, with a thousand steps."""
    tolerances: tuple[float, ...] = (1e-1, 1e-2, 1e-3)
    """rtol = atol of the adaptive ODE; the last is that of likelihoods and codes too."""
    likelihood_images: int = 32
    """Held-out images whose likelihoods and codes are computed."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "twin_steps", "classifier_steps")
        self.at_least(20, "samples", why="the number that the figures show")
        self.at_least(8, "likelihood_images", why="the number of codes that the figures show")
        self.at_least(4, "corrector_calls", why="for two steps with a corrector")
        if min(self.calls) < 3:
            raise ValueError(f"--calls {self.calls}: Heun needs at least 3 calls, for two steps")
        self.positive("snr", usual="0.1 to 0.5")
        if self.corrector_calls % 2:
            raise ValueError(
                f"--corrector-calls must be even, because a corrector takes half, got {self.corrector_calls}"
            )
        if not all(0 < tolerance < 1 for tolerance in self.tolerances):
            raise ValueError(f"--tolerances lie in (0, 1), got {self.tolerances}: 1e-1 to 1e-5 are usual")
        if sorted(set(self.tolerances), reverse=True) != [*self.tolerances]:
            raise ValueError(
                f"--tolerances must descend, because the last is taken for the finest, got {self.tolerances}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, steps=6, twin_steps=6, batch_size=8,
        classifier_steps=4, samples=20, samplers=("ddim", "dpmpp_2m", "heun", "euler_maruyama"), calls=(3, 4),
        corrector_calls=4, tolerances=(0.5, 0.1), likelihood_images=20, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, separate=True, channels=128, multipliers=(1, 2, 2), steps=100_000,
        twin_steps=100_000, batch_size=128, learning_rate=2e-4, ema=0.9999, classifier_steps=4000, samples=3000,
        calls=(5, 10, 20, 50, 100, 200, 500, 1000), corrector_calls=2000, snr=0.16,
        tolerances=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5), likelihood_images=1000, checkpoint_every=5000,
    ),
}  # fmt: skip
