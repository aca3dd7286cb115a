"""The Inception v3 network of the Fréchet Inception distance."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from jaxgen.core import check_choice
from jaxgen.nets.fixed_resizing import as_rgb, resize_bilinear
from jaxgen.nets.torch_files import read_weights
from jaxgen.nets.torch_weights import flax_variables

Resizing = Literal["pytorch-fid", "torch-fidelity"]
Padding = tuple[int, int]

_SIDE = 299
_SAME3, _ROW7, _COLUMN7 = (1, 1), (0, 3), (3, 0)


class InceptionV3(nn.Module):
    """Inception v3 with the poolings of FID's weights, from images in [−1, 1] to the 2048 features of the last pool.

    `net.apply(variables, x)` maps images (b, 299, 299, 3) to (b, 2048). The names of the layers are those of PyTorch's
    files. It evaluates fixed weights, and its batch statistics are never updated.

    Reference:
        Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision"; Heusel et al. 2017, "GANs
        trained by a two time-scale update rule converge to a local Nash equilibrium", for its use.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b 2048"]:
        """Compute the features."""
        x = _Unit(32, (3, 3), 2, name="Conv2d_1a_3x3")(x)
        x = _Unit(32, (3, 3), name="Conv2d_2a_3x3")(x)
        x = _Unit(64, (3, 3), padding=_SAME3, name="Conv2d_2b_3x3")(x)
        x = _max_pool(x)
        x = _Unit(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = _Unit(192, (3, 3), name="Conv2d_4a_3x3")(x)
        x = _max_pool(x)
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = _BlockA(pooled, name=f"Mixed_{name}")(x)
        x = _BlockB(name="Mixed_6a")(x)
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = _BlockC(width, name=f"Mixed_{name}")(x)
        x = _BlockD(name="Mixed_7a")(x)
        x = _BlockE(pool="average", name="Mixed_7b")(x)
        x = _BlockE(pool="max", name="Mixed_7c")(x)
        return x.mean((1, 2))


def inception_features(
    path: Path | str, *, resizing: Resizing = "pytorch-fid"
) -> Callable[[UInt8[Array, "b h w c"]], Float[Array, "b 2048"]]:
    """The features of the Fréchet Inception distance, from a file of its weights.

    FID is comparable between papers only for these weights and a stated resizing. The weights are not shipped: download
    pt_inception-2015-12-05-6726825d.pth of the project pytorch-fid, whose name has the first digits of its SHA-256.

    Args:
        path: the file, .pth or an .npz of the same arrays; it is read without executing anything.
        resizing: "pytorch-fid": bilinear with half-pixel centres, then 2x/255 − 1. "torch-fidelity": TensorFlow 1's
            bilinear with asymmetric centres, then (x − 128)/128, as in the original FID.

    Returns:
        A function from uint8 images (b, h, w, c) of 1 or 3 channels to features (b, 2048), for
        `metrics.apply_in_batches` and `metrics.frechet_distance`. It raises ValueError for other images.

    Raises:
        ValueError: if resizing is unknown, or the file holds other weights or cannot be read.
        FileNotFoundError: if there is no such file.

    Reference:
        Heusel et al. 2017, eq. 6; Parmar et al. 2022, "On aliased resizing and surprising subtleties in GAN
        evaluation", for what resizing changes.
    """
    check_choice(Resizing, resizing=resizing)
    net = InceptionV3()
    variables = flax_variables(net, (1, _SIDE, _SIDE, 3), read_weights(path))

    def features(images: UInt8[Array, "b h w c"]) -> Float[Array, "b 2048"]:
        return net.apply(variables, inception_inputs(images, resizing))

    return features


def inception_inputs(images: UInt8[Array, "b h w c"], resizing: Resizing) -> Float[Array, "b 299 299 3"]:
    """Images as the network takes them."""
    x = as_rgb(images)
    if resizing == "pytorch-fid":
        return 2 * resize_bilinear(x / 255, _SIDE) - 1
    return (resize_bilinear(x, _SIDE, align="asymmetric") - 128) / 128


class _Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    features: int
    kernel: Sequence[int]
    stride: int = 1
    padding: Padding = (0, 0)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        padding = [(side, side) for side in self.padding]
        x = nn.Conv(self.features, self.kernel, self.stride, padding, use_bias=False, precision="highest", name="conv")(
            x
        )
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x))


class _BlockA(nn.Module):
    pooled: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        one = _Unit(64, (1, 1), name="branch1x1")(x)
        five = _Unit(64, (5, 5), padding=(2, 2), name="branch5x5_2")(_Unit(48, (1, 1), name="branch5x5_1")(x))
        double = _Unit(96, (3, 3), padding=_SAME3, name="branch3x3dbl_2")(_Unit(64, (1, 1), name="branch3x3dbl_1")(x))
        double = _Unit(96, (3, 3), padding=_SAME3, name="branch3x3dbl_3")(double)
        return _join(one, five, double, _Unit(self.pooled, (1, 1), name="branch_pool")(_average_pool(x)))


class _BlockB(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        three = _Unit(384, (3, 3), 2, name="branch3x3")(x)
        double = _Unit(96, (3, 3), padding=_SAME3, name="branch3x3dbl_2")(_Unit(64, (1, 1), name="branch3x3dbl_1")(x))
        return _join(three, _Unit(96, (3, 3), 2, name="branch3x3dbl_3")(double), _max_pool(x))


class _BlockC(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        row, column = partial(_Unit, kernel=(1, 7), padding=_ROW7), partial(_Unit, kernel=(7, 1), padding=_COLUMN7)
        one = _Unit(192, (1, 1), name="branch1x1")(x)
        seven = _Unit(self.width, (1, 1), name="branch7x7_1")(x)
        seven = column(192, name="branch7x7_3")(row(self.width, name="branch7x7_2")(seven))
        double = _Unit(self.width, (1, 1), name="branch7x7dbl_1")(x)
        double = row(self.width, name="branch7x7dbl_3")(column(self.width, name="branch7x7dbl_2")(double))
        double = row(192, name="branch7x7dbl_5")(column(self.width, name="branch7x7dbl_4")(double))
        return _join(one, seven, double, _Unit(192, (1, 1), name="branch_pool")(_average_pool(x)))


class _BlockD(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        three = _Unit(320, (3, 3), 2, name="branch3x3_2")(_Unit(192, (1, 1), name="branch3x3_1")(x))
        seven = _Unit(192, (1, 1), name="branch7x7x3_1")(x)
        seven = _Unit(192, (1, 7), padding=_ROW7, name="branch7x7x3_2")(seven)
        seven = _Unit(192, (7, 1), padding=_COLUMN7, name="branch7x7x3_3")(seven)
        return _join(three, _Unit(192, (3, 3), 2, name="branch7x7x3_4")(seven), _max_pool(x))


class _BlockE(nn.Module):
    pool: Literal["average", "max"]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        row, column = partial(_Unit, kernel=(1, 3), padding=(0, 1)), partial(_Unit, kernel=(3, 1), padding=(1, 0))
        one = _Unit(320, (1, 1), name="branch1x1")(x)
        three = _Unit(384, (1, 1), name="branch3x3_1")(x)
        three = row(384, name="branch3x3_2a")(three), column(384, name="branch3x3_2b")(three)
        double = _Unit(448, (1, 1), name="branch3x3dbl_1")(x)
        double = _Unit(384, (3, 3), padding=_SAME3, name="branch3x3dbl_2")(double)
        double = row(384, name="branch3x3dbl_3a")(double), column(384, name="branch3x3dbl_3b")(double)
        pooled = _average_pool(x) if self.pool == "average" else nn.max_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)])
        return _join(one, *three, *double, _Unit(192, (1, 1), name="branch_pool")(pooled))


def _join(*parts: Array) -> Array:
    return jnp.concatenate(parts, axis=-1)


def _max_pool(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _average_pool(x: Array) -> Array:
    """The mean of the neighbours within the image."""
    return nn.avg_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)], count_include_pad=False)
