"""Flags that every experiment refuses before it begins."""

import pytest

from experiments.kit.config import TrainingConfig, UNetConfig


def test_shared_flags():
    for changes, message in [
        ({"ema": 1.5}, "--ema is a decay"),
        ({"ema": 1.0}, "--ema is a decay"),
        ({"ema": -0.1}, "--ema is a decay"),
        ({"learning_rate": -1.0}, "--learning-rate must be positive"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive"),
        ({"learning_rate": float("inf")}, "must be positive and finite, got inf: 1e-4 to 2e-3 are usual"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1"),
        ({"batch_size": float("nan")}, "--batch-size must be at least 1, got nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            TrainingConfig(**changes)
    assert TrainingConfig(ema=0.0).ema == 0  # no averaging
    net = UNetConfig(dtype="bfloat16", remat=True).unet()
    assert (net.dtype, net.remat) == ("bfloat16", True)
    assert (UNetConfig().unet().dtype, UNetConfig().unet().remat) == (None, False)
