"""The same samplers in diffusers, on a network of the same make and size, to be timed beside ours."""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from experiments.launch import BadInput
from experiments.timing import Subject, seconds, threads

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


def wanted(peers: str) -> bool:
    """Whether to run the peers: "on" raises BadInput where they are not installed, "auto" goes without."""
    missing = [name for name in ("torch", "diffusers") if find_spec(name) is None]
    if peers == "on" and missing:
        raise BadInput(f'--peers on needs {" and ".join(missing)}: pip install -e ".[peers]"')
    return peers != "off" and not missing


class Network(NamedTuple):
    """diffusers' U-Net, what it takes to feed it, and its size."""

    model: Any
    device: Any
    parameters: int
    versions: dict[str, str]


def network(features: int, multipliers: Sequence[int], size: int, channels: int, head_channels: int, platform: str):
    """diffusers' `UNet2DModel` with the levels, blocks, attention and adaptive norms of our `UNet`; random weights.

    Raises BadInput for a platform that torch has none of.
    """
    import diffusers
    import torch

    if platform != "cpu" and not torch.cuda.is_available():
        raise BadInput(f"--devices {platform}: this torch sees no such device; give --peers off")
    device = torch.device("cpu" if platform == "cpu" else "cuda")
    torch.manual_seed(0)
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
    parameters = sum(leaf.numel() for leaf in model.parameters())
    return Network(model, device, parameters, {"torch": torch.__version__, "diffusers": diffusers.__version__})


def set_threads(network: Network, shape: tuple[int, ...]) -> int:
    """Lets torch run on one thread or on all, whichever is faster for `shape`, and returns their number.

    All are faster on a quiet machine; beside other programs they wait for each other, and one can be many times faster.
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
    """diffusers' sampler of that name drawing `shape` (B, channels, h, w) from noise, and its bare network.

    It takes `steps` steps, but `calls` where its steps are halves of ours (the single-step DPM-Solver), so that both
    make about the same number of network calls. Its own number of calls is counted.
    """
    import diffusers
    import torch

    scheduler_name, settings = SCHEDULERS[name]
    model, device, *_ = network
    steps = calls if scheduler_name == "DPMSolverSinglestepScheduler" else steps

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    @torch.inference_mode()
    def run() -> Any:
        # schedulers keep state: each run has its own, as a pipeline does by set_timesteps
        scheduler.set_timesteps(steps, device=device)
        x = torch.randn(shape, device=device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            eps = model(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(eps, t, x).prev_sample
        wait()
        return x

    @torch.inference_mode()
    def bare(n: int) -> Any:
        x = torch.randn(shape, device=device)
        times = torch.linspace(999, 0, n, device=device).round()
        for t in times:
            x = model(x, t).sample
        wait()
        return x

    scheduler = getattr(diffusers, scheduler_name)(num_train_timesteps=1000, **settings)
    seen = []
    hook = model.register_forward_hook(lambda *_: seen.append(None))
    if not torch.isfinite(run()).all():
        raise FloatingPointError(f"{scheduler_name} drew values that are not finite")
    hook.remove()
    return Subject(len(seen), run, bare)


def training(network: Network, shape: tuple[int, ...], steps: int) -> Callable[[], None]:
    """PyTorch training diffusers' network on a batch of `shape` by Adam, for some steps to the objective of ours."""
    import torch

    model, device, *_ = network
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
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run
