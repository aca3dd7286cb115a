"""The flags that experiments share: what they refuse."""

import pytest

from experiments.config import TrainingConfig, UNetConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 1.5}, "--ema is a decay"),
        ({"ema": 1.0}, "--ema is a decay"),
        ({"ema": -0.1}, "--ema is a decay"),
        ({"learning_rate": -1.0}, "--learning-rate must be positive"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive"),
        ({"learning_rate": float("inf")}, "--learning-rate must be positive"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)


def test_how_the_network_computes():
    net = UNetConfig(dtype="bfloat16", remat=True).unet()
    assert (net.dtype, net.remat) == ("bfloat16", True)
    assert (UNetConfig().unet().dtype, UNetConfig().unet().remat) == (None, False)


def test_no_averaging_is_allowed():
    assert TrainingConfig(ema=0.0).ema == 0
