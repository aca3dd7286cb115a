"""The flags that experiments share; each adds its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxgen.nets import UNet


@dataclass(frozen=True)
class RunConfig:
    """What every experiment is told."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; paper: the sources' own sizes, for a GPU."""
    seed: int = 0
    progress: bool = True
    """Show a progress bar."""
    runs: Path = Path("runs")
    """Where the run's directory is made."""
    resume: tyro.conf.Suppress[Path | None] = None

    def at_least(self, least: int, *names: str, why: str = "") -> None:
        """Raises ValueError for a flag of these names that is smaller; `why` follows the number."""
        for name in names:
            if getattr(self, name) < least:
                reason = f" {why}" if why else ""
                raise ValueError(
                    f"--{name.replace('_', '-')} must be at least {least}{reason}, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """What an experiment is told that trains networks and can be resumed."""

    steps: int = 3000
    """Training steps of a network."""
    batch_size: int = 32
    learning_rate: float = 2e-3
    """At first; it falls to 0 along a cosine."""
    ema: float = 0.995
    """Decay of the averaged parameters that are evaluated."""
    checkpoint_every: int = 1000
    steps_per_call: int = 1
    """Training steps of one compiled call; more help small models. On a CPU convolutions learn far slower in a loop."""
    data_parallel: bool = False
    """Split each batch over all devices."""
    fully_sharded: bool = False
    """Split parameters and the optimiser's state over all devices too, which leaves more of their memory."""
    distributed: bool = False
    """Train together with the other processes of a SLURM, MPI, Kubernetes or TPU job, or of experiments.processes."""
    resume: Path | None = None
    """Directory of an interrupted run to continue, with its flags."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        self.at_least(1, "steps", "batch_size", "checkpoint_every", "steps_per_call")
        if self.distributed and not (self.data_parallel or self.fully_sharded):
            raise ValueError("--distributed says who trains together: add --data-parallel or --fully-sharded for how")
        if self.distributed and self.steps_per_call > 1:
            raise ValueError(
                "--steps-per-call draws batches on the device, --distributed on the hosts: give one of them"
            )
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"--learning-rate must be positive, got {self.learning_rate}: 1e-4 to 2e-3 are usual")
        if not 0 <= self.ema < 1:
            raise ValueError(f"--ema is a decay in [0, 1), got {self.ema}: 0.99 to 0.9999 are usual")


@dataclass(frozen=True)
class ComputeConfig(TrainingConfig):
    """What an experiment is told whose network can save memory and time."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; its parameters and its output stay float32."""
    remat: bool = False
    """Compute the insides of blocks anew in the backward pass: less memory, more time; of no use on a CPU."""

    @property
    def compute(self) -> dict[str, Any]:
        """Options of the network."""
        return {"dtype": None if self.dtype == "float32" else self.dtype, "remat": self.remat}


@dataclass(frozen=True)
class ImageConfig(TrainingConfig):
    """What an experiment is told that trains on images."""

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

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "images")


@dataclass(frozen=True)
class UNetConfig(ImageConfig, ComputeConfig):
    """What an experiment is told whose network is the U-Net."""

    channels: int = 16
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level, in multiples of the first."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "channels")

    def unet(self, **options: Any) -> UNet:
        """The U-Net."""
        return UNet(self.channels, self.multipliers, **self.compute, **options)
