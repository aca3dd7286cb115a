"""Flags that an experiment refuses before it begins."""

import importlib
from dataclasses import replace

import pytest

from experiments.config import TrainingConfig, UNetConfig

REFUSED = {
    "beta_vae": [
        ({"betas": (8.0, 1.0)}, "ascending"),
        ({"betas": (1.0,)}, "two or more"),
        ({"seeds": 1}, "--seeds must be at least 2 for an error bar"),
        ({"latents": 1}, "for a gap"),
        ({"x_stride": 32}, "two classes"),
        ({"y_classes": (3, 4)}, "two classes"),
        ({"held_out": 0.0}, "--held-out"),
    ],
    "captcha": [
        ({"requested": 5}, "20 images"),
        ({"scales": (0.0,)}, "must be positive"),
        ({"drop_text": 0.0}, "guidance needs both"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
    "controllable": [
        ({"size": 18}, "multiple of 4"),
        ({"fills": 1}, "2 fills"),
        ({"calls": 9}, "two steps of --repeats 5"),
        ({"scales": (1.0,)}, "0 among them"),
        ({"step_size": 0.0}, "--step-size must be positive"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
    "es_ddpm": [
        ({"starts": (200,)}, "T′ lies in"),
        ({"starts": ()}, "T′ lies in"),
        ({"sets": 1}, "--sets must be at least 2 for an error bar"),
        ({"margin": 0.0}, "--margin is a positive share"),
        ({"vae_steps": 0}, "--vae-steps must be at least 1"),
    ],
    "gmm_scores": [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"levels": 1}, "--levels must be at least 2"),
        ({"samples": 50}, "--samples of at least 100"),
        ({"sigmas": (3.0, 1.0)}, "--sigmas are two or three ascending"),
        ({"sigmas": (1.0,)}, "--sigmas"),
        ({"sigma_min": 1.5}, "0 < --sigma-min < 1 < --sigma-max"),
        ({"step_size": 2.0}, "--step-size"),
        ({"seed": -1}, "seed"),
    ],
    "improved_ddpm": [
        ({"skipped": (0.1,)}, "0 among them"),
        ({"chains": (1,)}, "subsets of 2 to T"),
        ({"sampling_steps": (501,)}, "subsets of 2 to T"),
        ({"cosine": ("simple",)}, "hybrid must be"),
        ({"samples": 5}, "20 samples"),
        ({"sets": 1}, "2 sets"),
        ({"stem_steps": -1}, "--stem-steps must be at least 0"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
    "ncsn": [
        ({"samples": 10}, "15 samples"),
        ({"sets": 1}, "two sets"),
        ({"sigma_last": 1.5}, "--sigma-last"),
        ({"langevin_steps": 0}, "--langevin-steps"),
    ],
    "ncsn_toy": [
        ({"clean_steps": 0}, "--clean-steps must be at least 1"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"starts": 10}, "--starts of at least 100"),
        ({"sigma_last": 30.0}, "--sigma-last < --sigma-first"),
        ({"step_size": 1.5}, "--step-size"),
        ({"ring_steps": 5}, "--ring-steps must be at least 8"),
        ({"ring_noises": (0.1, 0.2)}, "--ring-noises ascend from 0"),
        ({"dims": (512, 2)}, "--dims ascend"),
    ],
    "score_sde": [
        ({"samples": 10}, "--samples 10"),
        ({"calls": (2,)}, "Heun needs 3 calls"),
        ({"tolerances": (2.0,)}, "--tolerances"),
        ({"twin_steps": 0}, "--twin-steps must be at least 1"),
    ],
    "variational": [
        ({"numbers": 1}, "--numbers must be at least 2"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"draws": 1}, "--draws must be at least 2"),
        ({"batch_size": 9}, "--batch-size must not exceed"),
        ({"rows": 201}, "--rows above 200"),
        ({"separation": 0.5}, "--separation must lie in"),
        ({"most_draws": 12}, "--most-draws must be a power of 2"),
        ({"observed": ()}, "--observed are data"),
        ({"observed": (-1.0,)}, "--observed are data"),
        ({"batch_sizes": (7,)}, "each divide --many-rows"),
        ({"batch_sizes": (20, 10)}, "must ascend"),
        ({"latents": 4}, "--dims must be at least --latents"),
    ],
    "vdm": [
        ({"gamma_min": 5.0}, "--gamma-min < --gamma-max"),
        ({"ode_images": 1}, "at least 2 for an error bar"),
        ({"chains": (0,)}, "at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
    ],
}


@pytest.mark.parametrize("name", REFUSED)
def test_flags_are_refused(name):
    preset = "smoke" if name == "variational" else "default"
    config = importlib.import_module(f"experiments.{name}").PRESETS[preset]
    for changes, message in REFUSED[name]:
        with pytest.raises(ValueError, match=message):
            replace(config, **changes)


def test_shared_flags():
    for changes, message in [
        ({"ema": 1.5}, "--ema is a decay"),
        ({"ema": 1.0}, "--ema is a decay"),
        ({"ema": -0.1}, "--ema is a decay"),
        ({"learning_rate": -1.0}, "--learning-rate must be positive"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive"),
        ({"learning_rate": float("inf")}, "--learning-rate must be positive"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            TrainingConfig(**changes)
    assert TrainingConfig(ema=0.0).ema == 0  # no averaging
    net = UNetConfig(dtype="bfloat16", remat=True).unet()
    assert (net.dtype, net.remat) == ("bfloat16", True)
    assert (UNetConfig().unet().dtype, UNetConfig().unet().remat) == (None, False)
