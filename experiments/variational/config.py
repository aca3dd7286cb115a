"""The flags of the exercise on variational inference."""

from dataclasses import dataclass

from experiments.kit.config import RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """Variational inference against exact posteriors."""

    numbers: int = 20
    """Data of the Normal–Gamma model."""
    rows: int = 16
    """Data of the mixture of two Gaussians on a line."""
    separation: float = 2.5
    """Distance of the mixture's components, in their standard deviations."""
    starts: int = 20
    """Random starts of coordinate ascent."""
    sweeps: int = 200
    """Sweeps of coordinate ascent, each an update of both factors."""
    batch_size: int = 5
    """Batch of stochastic ascent on the two small models."""
    passes: int = 400
    """Passes of stochastic ascent over the data of the small models."""
    draws: int = 16
    """Draws of z behind one gradient: the cost at which the estimators are compared."""
    most_draws: int = 128
    """Draws up to which a gradient's noise is followed, from 2 in powers of 2."""
    gradients: int = 4000
    """Gradients behind each variance and bias."""
    observed: tuple[float, ...] = (0.5, 1.0, 4.0)
    """Data x of the Gamma–exponential toy, one at a time."""
    ascent_steps: int = 1500
    """Steps of stochastic ascent on the toy."""
    many_rows: int = 2000
    """Data of the mixture on which batch sizes are compared."""
    batch_sizes: tuple[int, ...] = (10, 100)
    many_passes: int = 20
    """Passes over those data at every batch size."""
    latents: int = 4
    """Latent dimensions of the linear-Gaussian model for which encoders are trained."""
    dims: int = 8
    """Its data's dimensions."""
    examples: int = 500
    """Its data."""
    encoder_steps: int = 3000
    """Training steps of an encoder."""
    seeds: int = 8
    """Repetitions of everything stochastic, for the error bars."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        super().__post_init__()
        least = {
            "numbers": 2, "rows": 2, "starts": 1, "sweeps": 2, "batch_size": 1, "passes": 1, "draws": 2,
            "gradients": 20, "ascent_steps": 2, "many_rows": 10, "many_passes": 1, "latents": 2, "examples": 100,
            "encoder_steps": 1, "seeds": 2,
        }  # fmt: skip
        for name, bound in least.items():
            self.at_least(bound, name)
        if self.batch_size > min(self.numbers, self.rows):
            raise ValueError(f"--batch-size must not exceed --numbers and --rows, got {self.batch_size}")
        if self.rows > 200:
            raise ValueError(f"--rows above 200 make the exact evidence's grid too fine, got {self.rows}")
        if not 1 <= self.separation <= 8:
            raise ValueError(f"--separation must lie in [1, 8], got {self.separation}")
        if self.most_draws < 4 or self.most_draws & (self.most_draws - 1):
            raise ValueError(f"--most-draws must be a power of 2, at least 4, got {self.most_draws}")
        if min(self.observed) < 0:
            raise ValueError(f"--observed are data x >= 0, got {self.observed}")
        sizes = self.batch_sizes
        if list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or any(self.many_rows % b for b in sizes):
            raise ValueError(f"--batch-sizes must ascend and each divide --many-rows {self.many_rows}, got {sizes}")
        if self.dims < self.latents:
            raise ValueError(f"--dims must be at least --latents {self.latents}, got {self.dims}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", numbers=8, rows=8, starts=3, sweeps=4, passes=2, draws=4, most_draws=4, gradients=40,
        observed=(1.0,), ascent_steps=6, many_rows=40, batch_sizes=(10,), many_passes=2, latents=2, dims=3,
        examples=100, encoder_steps=6, seeds=2,
    ),
    "paper": Config(
        preset="paper", starts=100, sweeps=1000, passes=4000, gradients=40_000, most_draws=1024, ascent_steps=10_000,
        many_rows=20_000, batch_sizes=(10, 100, 1000), examples=5000, encoder_steps=20_000, seeds=20,
    ),
}  # fmt: skip
