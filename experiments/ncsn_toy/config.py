"""The flags of the NCSN toy."""

from dataclasses import dataclass

from experiments.kit.config import RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """Show where score matching and Langevin dynamics without noise levels fail, and how noise levels mend it."""

    starts: int = 1280
    """Chains in a figure, begun uniformly on [−8, 8]²."""
    repeats: int = 4
    """The shares of modes of each seed are those of this many times as many chains."""
    step_size: float = 0.1
    """ε of x + ε/2 score + √ε z; with noise levels, that of the last."""
    langevin_steps: int = 1000
    """Steps of Langevin dynamics without levels."""
    sigma_first: float = 20.0
    """The first and largest noise level σ₁."""
    sigma_last: float = 1.0
    """The last noise level σ_L."""
    levels: int = 10
    """Number of noise levels, which are geometric."""
    level_steps: int = 100
    """Langevin steps at each level."""
    clean_steps: int = 3000
    """Training steps on the data without noise, by sliced score matching."""
    many_steps: int = 15_000
    """Training steps of the network of all levels."""
    ring_noises: tuple[float, ...] = (0.0, 0.03, 0.1)
    """Standard deviations of the noise on the ring's data; the ring has radius 1."""
    ring_steps: int = 3000
    """Training steps on the ring."""
    objective_steps: int = 2000
    """Training steps in the comparison of objectives."""
    objective_sigma: float = 0.3
    """Noise of denoising score matching in it."""
    dims: tuple[int, ...] = (2, 8, 32, 128, 512)
    """Dimensions in which the cost of the objectives and the variance of their gradients are measured."""
    gradients: int = 12
    """Gradients whose variance is measured."""
    rounds: int = 7
    """Rounds of timing."""
    batch_size: int = 256
    learning_rate: float = 2e-3
    """At first; it falls to 0 along a cosine."""
    width: int = 128
    """Width of the two hidden layers of the networks."""
    seeds: int = 3
    """Trainings and samplings of every method, over which standard errors are taken."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(2, "levels", "seeds", "gradients", "rounds")
        self.at_least(8, "ring_steps")
        self.at_least(1, "clean_steps", "many_steps", "objective_steps", "level_steps")
        self.at_least(1, "repeats", "batch_size", "width")
        self.at_least(100, "starts", why="for the shares of the modes")
        self.at_least(20, "langevin_steps", why="for the shares along the chains")
        if self.langevin_steps % 20:
            raise ValueError(f"--langevin-steps must be a multiple of 20, the frames shown, got {self.langevin_steps}")
        if not 0 < self.sigma_last < self.sigma_first:
            raise ValueError(f"need 0 < --sigma-last < --sigma-first, got {self.sigma_last} and {self.sigma_first}")
        if not 0.02 <= self.step_size < 1:
            raise ValueError(
                "--step-size must lie in [0.02, 1): below, the grid of the chains' law is too coarse, and above, "
                f"chains overshoot; got {self.step_size}"
            )
        self.positive("objective_sigma", "learning_rate")
        noises = self.ring_noises
        if len(noises) < 2 or noises[0] != 0 or sorted(set(noises)) != [*noises]:
            raise ValueError(f"--ring-noises must ascend from 0, at least two of them, got {noises}")
        if len(self.dims) < 2 or min(self.dims) < 2 or sorted(set(self.dims)) != [*self.dims]:
            raise ValueError(f"--dims must ascend from 2 or more, at least two of them, got {self.dims}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", starts=100, langevin_steps=20, levels=3, level_steps=4, clean_steps=20, many_steps=20,
        ring_noises=(0.0, 0.1), ring_steps=20, objective_steps=20, dims=(2, 4), gradients=3, rounds=2, batch_size=32,
        width=16, seeds=2, repeats=1,
    ),
    "paper": Config(
        preset="paper", clean_steps=50_000, many_steps=100_000, ring_steps=50_000, objective_steps=50_000,
        gradients=100, rounds=10, batch_size=1024, width=256, seeds=10,
    ),
}  # fmt: skip
