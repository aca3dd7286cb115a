"""The flags that experiments share; each adds its own."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxgen.nets import DIT_SIZES, DiT, UNet


@dataclass(frozen=True)
class RunConfig:
    """The flags of every experiment."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: less than a minute; paper: the sources' own sizes, for a GPU."""
    seed: int = 0
    """Seed of everything that is drawn, from 0 to 2³² − 1."""
    progress: bool = True
    """Show a progress bar."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    resume: Path | None = None
    """Folder of an interrupted run to continue, with its flags; what it had finished is not done again."""
    cores: int = 0
    """Cores of a CPU that share each batch of images; 0 takes all, or one in the smoke preset."""

    resumable: ClassVar[tuple[str, ...]] = ("progress", "runs", "cores")
    """The flags that a resumed run may change."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed lies in 0 … 2³² − 1, got {self.seed}")
        self.at_least(0, "cores")
        for field in fields(self):
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value == () and "..." in str(field.type) and field.default != ():
                raise ValueError(f"{flag} needs at least one value")
            numbers = {each for each in value if isinstance(each, float)} if isinstance(value, tuple) else ()
            # stages and figures are named after six digits
            if len({f"{each:g}" for each in numbers}) < len(numbers):
                raise ValueError(f"{flag} must differ within six digits, got {value}")

    def at_least(self, least: int, *names: str, why: str = "") -> None:
        """Raises ValueError for a flag of these names that is smaller; `why` follows the number."""
        for name in names:
            if not getattr(self, name) >= least:  # NaN too
                reason = f" {why}" if why else ""
                raise ValueError(
                    f"--{name.replace('_', '-')} must be at least {least}{reason}, got {getattr(self, name)}"
                )

    def positive(self, *names: str, usual: str = "") -> None:
        """Raises ValueError for a flag of these names that is not positive and finite; `usual` says what is usual."""
        for name in names:
            if not 0 < getattr(self, name) < float("inf"):
                advice = f": {usual} are usual" if usual else ""
                raise ValueError(
                    f"--{name.replace('_', '-')} must be positive and finite, got {getattr(self, name)}{advice}"
                )


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """The flags of an experiment that trains networks and can be resumed."""

    steps: int = 3000
    """Training steps of a network."""
    batch_size: int = 32
    learning_rate: float = 2e-3
    """The largest, after a warm-up; it falls to 0 along a cosine."""
    ema: float = 0.995
    """Decay of the averaged parameters, which are evaluated."""
    checkpoint_every: int = 1000
    steps_per_call: int = 10
    """Training steps of one compiled call, which saves time; fewer in a short training, one with --distributed."""
    log: Literal["none", "tensorboard", "wandb"] = "none"
    """Where losses are logged beside metrics.jsonl: needs tensorboardX or wandb."""
    data_parallel: bool = False
    """Split each batch over all devices."""
    fully_sharded: bool = False
    """Split parameters and the optimiser's state over all devices too, which leaves more of their memory."""
    distributed: bool = False
    """Train together with the other processes of a SLURM, MPI, Kubernetes or TPU job, or of experiments.processes."""

    resumable: ClassVar[tuple[str, ...]] = (
        *RunConfig.resumable, "steps", "checkpoint_every", "steps_per_call", "log", "data_parallel", "fully_sharded",
        "distributed",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "steps", "batch_size", "checkpoint_every", "steps_per_call")
        if self.distributed and not (self.data_parallel or self.fully_sharded):
            raise ValueError("--distributed says who trains together: add --data-parallel or --fully-sharded for how")
        self.positive("learning_rate", usual="1e-4 to 2e-3")
        if not 0 <= self.ema < 1:
            raise ValueError(f"--ema is a decay in [0, 1), got {self.ema}: 0.99 to 0.9999 are usual")


@dataclass(frozen=True)
class ComputeConfig(TrainingConfig):
    """The flags of an experiment whose network can save memory and time."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; its parameters and its output stay float32."""
    remat: bool = False
    """Compute the insides of blocks again in the backward pass: less memory, more time; of no use on a CPU."""

    @property
    def compute(self) -> dict[str, Any]:
        """Options of the network."""
        return {"dtype": None if self.dtype == "float32" else self.dtype, "remat": self.remat}


@dataclass(frozen=True)
class DiTConfig(ComputeConfig):
    """The flags of an experiment that may train a diffusion transformer."""

    dit_width: int = 128
    """Width of a token of the transformer."""
    dit_depth: int = 6
    """Blocks of the transformer."""
    dit_heads: int = 4
    """Heads of its attention, which divide the width."""
    dit_patch: int = 2
    """Side of the squares of pixels that it reads as tokens."""
    dit_attention: Literal["xla", "cudnn"] = "xla"
    """Implementation of its attention; cudnn is for a GPU and --dtype bfloat16."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "dit_width", "dit_depth", "dit_heads", "dit_patch")
        if self.dit_width % self.dit_heads or self.dit_width % 4:
            raise ValueError(f"--dit-width {self.dit_width} must be a multiple of --dit-heads {self.dit_heads} and 4")
        if self.dit_attention == "cudnn" and self.dtype != "bfloat16":
            raise ValueError("--dit-attention cudnn computes in half precision: add --dtype bfloat16")

    def dit(self, **options: Any) -> DiT:
        """The diffusion transformer."""
        return DiT(
            self.dit_width, self.dit_depth, self.dit_heads, patch=self.dit_patch, attention=self.dit_attention,
            **self.compute, **options,
        )  # fmt: skip


SMOKE_DIT: dict[str, Any] = {"dit_width": 16, "dit_depth": 1, "dit_heads": 2}
"""The transformer of smoke presets."""
PAPER_DIT: dict[str, Any] = {f"dit_{name}": size for name, size in DIT_SIZES["S"].items()}
"""The transformer of paper presets, DiT-S."""


@dataclass(frozen=True)
class ImageConfig(TrainingConfig):
    """The flags of an experiment that trains on images."""

    data: Path | None = None
    """Real images (.npy, .npz, MNIST's idx files, a folder or a tar); without it, sprites are rendered."""
    subset: str | None = None
    """Part of the data to use, such as train."""
    size: int = 16
    """Height and width of the images of --data in pixels."""
    resize: bool = False
    """Crop images of another size to a square and resize them (bicubic); otherwise they are refused."""
    value_range: tuple[float, float] | None = None
    """The lowest and the highest value of images in floating point, such as 0 255; without it, 0 1 or -1 1."""
    images: int = 20_000
    """Sprites to render."""

    rendered_size: ClassVar[int | None] = 16
    """The only size without --data; None where an experiment has others."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "images", "size")
        if self.images > 10**7:
            raise ValueError(f"--images must be at most 10,000,000, got {self.images}")
        if self.data is None:
            given = [f"--{name.replace('_', '-')}" for name in ("subset", "value_range") if getattr(self, name)]
            if self.resize:
                given.append("--resize")
            if given:
                raise ValueError(f"{' and '.join(given)} without --data: they are for images from files")
            if self.rendered_size not in (None, self.size):
                raise ValueError(
                    f"--size {self.size} without --data: sprites are rendered with --size {self.rendered_size}"
                )
        elif self.data == Path():
            raise ValueError("--data is empty: give a file or folder")


@dataclass(frozen=True)
class UNetConfig(ImageConfig, ComputeConfig):
    """The flags of an experiment whose network is the U-Net."""

    channels: int = 16
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level, in multiples of the first."""
    blocks: int = 1
    """Residual blocks of each level on the way down; the way up has one more."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "channels")
        self.at_least(0, "blocks")

    def unet(self, **options: Any) -> UNet:
        """The U-Net, with self-attention at the lowest of several levels; at the only one it would cost most of all."""
        if len(self.multipliers) == 1:
            options = {"attention_levels": ()} | options
        return UNet(self.channels, self.multipliers, self.blocks, **self.compute, **options)


@dataclass(frozen=True)
class NetworkConfig(UNetConfig, DiTConfig):
    """The flags of an experiment with --network, whose network is the U-Net or the transformer."""

    network: Literal["unet", "dit"] = "unet"
    """unet: residual U-Net; dit: diffusion transformer."""

    def build_network(self, **options: Any) -> UNet | DiT:
        """The network that --network names, with options that both have."""
        return self.dit(**options) if self.network == "dit" else self.unet(**options)
