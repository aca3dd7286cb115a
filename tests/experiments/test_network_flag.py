"""`--network dit` in the experiments on images: the transformer in the place of the U-Net."""

import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.captcha import train as captcha
from experiments.captcha.config import PRESETS as CAPTCHA
from experiments.captcha.data import Data
from experiments.kit import images
from experiments.kit.config import NetworkConfig
from experiments.kit.run import BadInput, begin
from experiments.sprites import EXERCISE
from experiments.sprites.config import PRESETS
from experiments.sprites.train import build, train
from jaxgen.data import ImageDataset
from jaxgen.nets import DIT_SIZES, DiT, UNet

NAMES = ["sprites", "captcha", "controllable", "es_ddpm", "improved_ddpm", "ncsn", "score_sde", "vdm"]
pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_the_flags_make_the_network():
    flags = {"dit_width": 32, "dit_depth": 3, "dit_heads": 2, "dit_patch": 4, "dtype": "bfloat16", "remat": True}
    net = NetworkConfig(network="dit", dit_attention="cudnn", **flags).build_network(num_classes=7, out_channels=6)
    assert net == DiT(32, 3, 2, patch=4, dtype="bfloat16", remat=True, attention="cudnn", num_classes=7, out_channels=6)
    assert isinstance(NetworkConfig().build_network(), UNet)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_a_small_and_the_published_transformer(name):
    presets = importlib.import_module(f"experiments.{name}.config").PRESETS
    assert presets["smoke"].network != "dit"
    assert (presets["smoke"].dit_width, presets["smoke"].dit_depth) == (16, 1)
    paper = presets["paper"]
    assert {"width": paper.dit_width, "depth": paper.dit_depth, "heads": paper.dit_heads} == DIT_SIZES["S"]


@pytest.mark.slow
def test_sprites_train_it_and_draw_from_it(tmp_path):
    config = replace(PRESETS["smoke"], network="dit", progress=False, runs=tmp_path, images=100, timesteps=4)
    data = images.load(config)
    net = images.fitting(build(config, data.train.num_classes), data)
    assert isinstance(net, DiT)
    model, history = train(begin(EXERCISE, config, []), net, data)
    losses = history["loss"][1]
    assert np.isfinite(losses).all()
    x = jnp.asarray(data.train.images[:2])
    drawn = jax.jit(model.denoise(model.params, jnp.array([0, -1])))(x, jnp.float32(0.5)).x0
    assert drawn.shape == x.shape


def test_captchas_are_read_by_cross_attention():
    config = replace(CAPTCHA["smoke"], network="dit")
    texts = ImageDataset(np.zeros((3, 12, 24, 3), np.uint8), np.zeros((3, 2), int), tuple("47"))
    net = captcha.build(config, Data(texts, texts, texts))
    assert (type(net), net.num_tokens, net.sequence_length, net.cross_attention) == (DiT, 2, 2, True)
    with pytest.raises(BadInput, match="blocks of 5×5 pixels do not fill an image of 12×24"):
        captcha.build(replace(config, dit_patch=5), Data(texts, texts, texts))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_small_run(name, tmp_path):
    exercise = importlib.import_module(f"experiments.{name}.__main__")
    page = exercise.main(replace(exercise.PRESETS["smoke"], network="dit", progress=False, runs=tmp_path))
    assert page.is_file()
