"""The flags of the benchmark."""

from dataclasses import dataclass, fields
from typing import Literal

from experiments.benchmark.samplers import GENERATED, NAMES
from experiments.kit.config import RunConfig

FEW = ("ddpm", "ddim", "heun", "dpmpp_2m")


@dataclass(frozen=True)
class Config(RunConfig):
    """Time every sampler relative to its bare network calls, and compare with diffusers where that is installed."""

    preset: Literal["default", "smoke", "gpu", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; gpu: minutes on a GPU; paper: all samplers, for a GPU."""
    batch_sizes: tuple[int, ...] = (64, 8, 1)
    """Batch sizes; all --samplers are timed at the first, only those in --few at the others."""
    samplers: tuple[str, ...] = NAMES
    """Samplers that are timed."""
    few: tuple[str, ...] = FEW
    """Samplers that are timed at the other batch sizes too."""
    devices: tuple[str, ...] = ()
    """Platforms such as cpu gpu; without it, the default platform of JAX."""
    steps: int = 8
    """Steps of every sampler."""
    rounds: int = 5
    """How often everything is timed, in turns."""
    network: Literal["unet", "mlp"] = "unet"
    """unet: the U-Net; mlp: a small MLP, which compiles fast and whose calls take little time."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type that the network computes in when it samples; training is timed in both."""
    features: int = 32
    """Channels of the U-Net's first level, or the width of the MLP."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level of the U-Net, in multiples of the first."""
    size: int = 16
    """Height and width of the images in pixels."""
    peers: Literal["auto", "off", "on"] = "auto"
    """Time diffusers too: where it is installed, never, or refuse to run without it."""
    part: Literal["all", "sampling", "training", "pytorch"] = "all"
    """What to time; pytorch: the U-Net beside that of diffusers, at the batch sizes of --call-, --step- and
    --ddim-batch-sizes, which is no part of all."""
    call_batch_sizes: tuple[int, ...] = (1, 8, 64)
    step_batch_sizes: tuple[int, ...] = (32, 64, 128)
    ddim_batch_sizes: tuple[int, ...] = (8, 64)
    ddim_steps: int = 50
    """Steps of DDIM, with --part pytorch."""
    training_steps: int = 4
    """Training steps of the network in one measurement."""
    mlp_batch_sizes: tuple[int, ...] = (256, 2048)
    """Batches of a small network whose training is timed too; it sees 200 times as many examples."""
    training_devices: tuple[int, ...] = (1, 2, 8)
    """Numbers of devices to train on; on a CPU they share its cores."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after compiling."""
        super().__post_init__()
        self.at_least(2, "steps", why="so that multistep samplers take a multistep")
        self.at_least(2, "rounds", why="so that each order of timing happens once")
        self.at_least(1, "features", "training_steps", "ddim_steps")
        several = [field.name for field in fields(self) if field.name.endswith("batch_sizes")]
        for name in (*several, "training_devices", "multipliers"):
            values, flag = getattr(self, name), f"--{name.replace('_', '-')}"
            if min(values) < 1:
                raise ValueError(f"{flag} must be positive, got {values}")
            if name != "multipliers" and len(set(values)) < len(values):
                raise ValueError(f"{flag} must differ from each other, got {values}")
        levels = len(self.multipliers) if self.network == "unet" else 1
        self.at_least(2 ** (levels - 1), "size", why=f"for a U-Net of {levels} levels")
        if self.part in ("all", "training") and (odd := [n for n in self.training_devices if self.batch_sizes[0] % n]):
            raise ValueError(f"--training-devices {odd} do not divide the batch of {self.batch_sizes[0]}")
        for flag in ("samplers", "few"):
            if unknown := set(getattr(self, flag)) - set(NAMES):
                raise ValueError(f"--{flag} names {sorted(unknown)}: choose from {', '.join(NAMES)}")

    def announce(self, text: str) -> None:
        """Print a line of progress."""
        if self.progress:
            print(text, flush=True)


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", batch_sizes=(4, 1), samplers=("ddim", "sample_ode, adaptive", GENERATED), few=("ddim",),
        steps=5, rounds=2, network="mlp", features=8, multipliers=(1,), size=8, training_steps=1,
        training_devices=(2,), mlp_batch_sizes=(80,),
    ),
    "gpu": Config(
        preset="gpu", batch_sizes=(64, 256), samplers=(*FEW, "sample_ode, adaptive", GENERATED), steps=18,
        features=128, size=32, training_steps=20, training_devices=(1,), mlp_batch_sizes=(2048,),
    ),
    "paper": Config(
        preset="paper", batch_sizes=(64, 256, 1), few=NAMES, steps=50, rounds=9, features=128, multipliers=(1, 2, 2),
        size=32,
    ),
}  # fmt: skip
