"""The same samplers in diffusers, on a network of the same architecture and size, to be compared with ours."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax

from experiments.benchmark.config import Config
from experiments.benchmark.train import CHANNELS, HEAD_CHANNELS
from experiments.kit.run import BadInput
from experiments.kit.timing import Subject, seconds, threads

PACKAGES = ("torch", "diffusers")

# our sampler: diffusers' scheduler and its settings
SCHEDULERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_1": ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"solver_order": 2, "lower_order_final": True}),
}


def wanted(config: Config, devices: Sequence[jax.Device]) -> bool:
    """Whether to time diffusers.

    Raises:
        BadInput: if --peers on or --part pytorch is given and a package is missing or the network is not the U-Net in
            float32, if diffusers' network cannot have these sizes, or if torch finds no such device.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if config.peers == "on" or config.part == "pytorch":
        flag = "--part pytorch" if config.part == "pytorch" else "--peers on"
        if missing:
            raise BadInput(f'{flag} needs {" and ".join(missing)}: pip install -e ".[peers]"')
        if config.network != "unet":
            raise BadInput(f"{flag} compares U-Nets: give --network unet, not {config.network}")
        if config.precision != "float32":
            raise BadInput(f"{flag} compares networks in float32: give --precision float32, not {config.precision}")
        if config.peers == "off":
            raise BadInput(f"{flag} needs diffusers: leave --peers off away")
    if config.peers == "off" or config.network != "unet" or config.precision != "float32" or missing:
        return False
    factor, groups = 2 ** (len(config.multipliers) - 1), min(32, config.features)
    if config.size % factor or config.features % groups:
        raise BadInput(
            f"diffusers' network needs a --size that {factor} divides and --features that {groups} divides, got "
            f"{config.size} and {config.features}: change them, or give --peers off"
        )
    if other := [device.platform for device in devices if device.platform != "cpu"]:
        import torch

        if not torch.cuda.is_available():
            raise BadInput(f"--devices {' '.join(other)}: torch finds no such device; give --peers off")
    return True


def versions() -> dict[str, str]:
    """The versions of the packages."""
    return {name: version(name) for name in PACKAGES}


class Network(NamedTuple):
    """diffusers' U-Net, the torch device that it is on, and the number of its parameters."""

    model: Any
    device: Any
    parameters: int


def network_of(config: Config, platform: str) -> Network:
    """diffusers' network for these settings, on a platform; the same one each time."""
    return network(config.features, config.multipliers, config.size, CHANNELS, HEAD_CHANNELS, platform, config.seed)


@cache
def network(
    features: int,
    multipliers: tuple[int, ...],
    size: int,
    channels: int,
    head_channels: int,
    platform: str,
    seed: int = 0,
) -> Network:
    """diffusers' `UNet2DModel` with the levels, blocks, attention and adaptive norms of our `UNet`; random weights."""
    import diffusers
    import torch

    device = torch.device("cpu" if platform == "cpu" else "cuda")
    torch.manual_seed(seed)
    levels = len(multipliers)
    with warnings.catch_warnings(action="ignore"):
        model = diffusers.UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=[features * multiplier for multiplier in multipliers],
            layers_per_block=1,
            down_block_types=["DownBlock2D"] * (levels - 1) + ["AttnDownBlock2D"],
            up_block_types=["AttnUpBlock2D"] + ["UpBlock2D"] * (levels - 1),
            attention_head_dim=min(head_channels, features * multipliers[-1]),
            norm_num_groups=min(32, features),
            resnet_time_scale_shift="scale_shift",
        )
    model = model.to(device).eval()
    return Network(model, device, sum(leaf.numel() for leaf in model.parameters()))


def set_threads(network: Network, shape: tuple[int, ...]) -> int:
    """Let torch run on one thread or on all, whichever is faster for `shape`, and return their number.

    All are faster on a quiet machine. While other programs run, threads wait for each other, and one can be faster.
    """
    import torch

    x, times = torch.zeros(shape, device=network.device), {1: [], threads(): []}
    with torch.inference_mode():
        for i in range(6):
            for n, taken in times.items():
                torch.set_num_threads(n)
                call = seconds(lambda: network.model(x, 500).sample.sum().item())
                if i > 0:
                    taken.append(call)
    best = min(times, key=lambda n: sorted(times[n])[len(times[n]) // 2])
    torch.set_num_threads(best)
    return best


def subject(network: Network, name: str, steps: int, calls: int, shape: tuple[int, ...]) -> Subject:
    """diffusers' sampler, and its bare network.

    Args:
        network: diffusers' network.
        name: our sampler, a name in SCHEDULERS.
        steps: our sampler's steps.
        calls: our sampler's network calls. The single-step DPM-Solver takes so many steps, because each is half a step
            of ours.
        shape: what a run draws, (B, channels, h, w).

    Raises:
        FloatingPointError: if it draws values that are not finite.
    """
    import diffusers
    import torch

    scheduler_name, settings = SCHEDULERS[name]
    model, device, _ = network
    steps = calls if scheduler_name == "DPMSolverSinglestepScheduler" else steps

    @torch.inference_mode()
    def run() -> Any:
        # schedulers keep state, which set_timesteps resets, as in a pipeline
        scheduler.set_timesteps(steps, device=device)
        x = torch.randn(shape, device=device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            eps = model(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(eps, t, x).prev_sample
        _wait(device)
        return x

    scheduler = getattr(diffusers, scheduler_name)(num_train_timesteps=1000, **settings)
    seen = []
    hook = model.register_forward_hook(lambda *_: seen.append(None))
    if not torch.isfinite(run()).all():
        raise FloatingPointError(f"{scheduler_name} drew values that are not finite")
    hook.remove()
    return Subject(len(seen), run, lambda n: bare_calls(network, shape, n)())


def bare_calls(network: Network, shape: tuple[int, ...], n: int) -> Callable[[], None]:
    """n calls of diffusers' network from noise of a shape (B, channels, h, w), each on the output of the last."""
    import torch

    @torch.inference_mode()
    def run() -> None:
        x = torch.randn(shape, device=network.device)
        for t in torch.linspace(999, 0, n, device=network.device).round():
            x = network.model(x, t).sample
        _wait(network.device)

    return run


def training(network: Network, shape: tuple[int, ...], steps: int) -> Callable[[], None]:
    """PyTorch training diffusers' network by Adam, with the objective of ours.

    Args:
        network: diffusers' network, which is changed.
        shape: shape of a batch, (B, channels, h, w).
        steps: training steps of a run.
    """
    import torch

    model, device, _ = network
    model.train()
    optimizer, x0 = torch.optim.Adam(model.parameters(), lr=1e-3), torch.randn(shape, device=device)

    def run() -> None:
        for _ in range(steps):
            t, eps = torch.rand(shape[0], device=device), torch.randn(shape, device=device)
            # the linear schedule of `vp`, whose log alpha is quadratic
            alpha = torch.exp(-0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1)[:, None, None, None]
            found = model(alpha * x0 + torch.sqrt(1 - alpha**2) * eps, 999 * t).sample
            optimizer.zero_grad(set_to_none=True)
            ((found - eps) ** 2).mean().backward()
            optimizer.step()
        _wait(device)

    return run


def _wait(device: Any) -> None:
    """Wait for what a GPU still computes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
