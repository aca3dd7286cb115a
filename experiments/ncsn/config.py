"""The flags of the NCSN exercise."""

from dataclasses import dataclass

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train noise-conditional score networks and sample them with and without each technique of NCSNv2."""

    sigma_last: float = 0.02
    """The last noise level σ_L, of images in [−1, 1]."""
    langevin_steps: int = 3
    """T, Langevin steps at each level; the paper's 5 take longer."""
    steps: int = 3000
    """Training steps of each of the two networks."""
    learning_rate: float = 2e-3
    """Constant, as in the paper: the averaged parameters make a decay unnecessary."""
    ema: float = 0.999
    """Decay of the averaged parameters (technique 5)."""
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 80
    """Samples in a set, drawn as one batch."""
    sets: int = 4
    """Independent sets of samples of each variant, over which standard errors are taken."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "classifier_steps", "langevin_steps")
        self.at_least(2, "samples", why="for a Fréchet distance")
        self.at_least(2, "sets", why="for a standard error")
        if not 0 < self.sigma_last < 1:
            raise ValueError(
                f"--sigma-last must lie in (0, 1), below the σ₁ = 1 of NCSN's noise levels, got {self.sigma_last}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, sigma_last=0.5, langevin_steps=1, channels=8, multipliers=(1,), blocks=0,
        steps=6, batch_size=8, classifier_steps=4, samples=2, sets=2, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, langevin_steps=5, channels=128, multipliers=(1, 2, 2),
        steps=300_000, batch_size=128, learning_rate=1e-4, classifier_steps=4000, samples=1000, checkpoint_every=5000,
    ),
}  # fmt: skip
