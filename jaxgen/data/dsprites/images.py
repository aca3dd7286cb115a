"""A set of dSprites for training that holds no images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, UInt8

from jaxgen.data.dsprites.lattice import COUNT, DSPRITES_FACTORS, check_index, dsprites_factors
from jaxgen.data.dsprites.render import SIDE, box_average, check_size, render_dsprites

Classes = int | slice | Sequence[int] | np.ndarray


@dataclass(frozen=True, eq=False)
class DSprites:
    """Images of the dSprites lattice, kept as `codes` that `images` turns into pixels, under jit if need be.

    A code is the image's number, or the bits of an image read from a file (`load_dsprites`). Batches are drawn of codes
    and become images inside the loss, so that neither the host nor the device ever holds the whole set:

        data = DSprites().subset(orientation=slice(None, None, 4))
        batches = Batches(data.codes, 64)
        def loss(key, params, codes):
            x = data.images(codes) / 255  # in [0, 1]

    Attributes:
        index: (N,) the images' numbers in the lattice; None is all 737,280.
        size: height and width in pixels, 64, 32 or 16.
        average: how smaller sizes come about, as in `render_dsprites`.
        packed: (N, 512) the images' bits, if they come from a file; their smaller sizes are averages.

    Raises:
        ValueError: numbers that are not in the lattice, none, bits that are not as many, or another size.
    """

    index: np.ndarray | None = None
    size: int = SIDE
    average: bool = False
    packed: np.ndarray | None = None

    def __post_init__(self):
        index = np.arange(COUNT, dtype=np.int32) if self.index is None else np.asarray(self.index)
        if index.ndim != 1 or not len(index) or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"index is {index.dtype} of shape {index.shape}; expected integers (N,), at least one.")
        check_index(index)
        check_size(self.size)
        object.__setattr__(self, "index", index.astype(np.int32))
        if self.packed is None:
            return
        if self.packed.shape != (len(index), SIDE * SIDE // 8) or self.packed.dtype != np.uint8:
            raise ValueError(f"packed is {self.packed.dtype} {self.packed.shape}; expected uint8 ({len(index)}, 512).")
        if self.size != SIDE and not self.average:
            raise ValueError(f"images of a file have {SIDE}×{SIDE} pixels: size={self.size} needs average=True.")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.index)

    @property
    def codes(self) -> Int32[np.ndarray, " n"] | UInt8[np.ndarray, "n 512"]:
        """What stands for the images, one row each, to be shuffled and batched."""
        return self.index if self.packed is None else self.packed

    @property
    def factors(self) -> Int32[np.ndarray, "n 6"]:
        """The images' classes of colour, shape, scale, orientation, x and y, each from 0, whatever was left out."""
        return dsprites_factors(self.index)

    def images(
        self, codes: Int32[np.ndarray, " b"] | Int32[Array, " b"] | UInt8[np.ndarray, "b 512"] | UInt8[Array, "b 512"]
    ) -> UInt8[np.ndarray, "b size size 1"] | UInt8[Array, "b size size 1"]:
        """Return the images of some of `codes`, uint8 (b, size, size, 1) by NumPy or by JAX, as the codes are."""
        if self.packed is None:
            return render_dsprites(codes, self.size, self.average)
        xp = jnp if isinstance(codes, jax.Array) else np
        bits = xp.unpackbits(codes, axis=-1).reshape(-1, SIDE, SIDE, 1)
        return box_average(xp, bits * xp.uint8(255), self.size)

    def take(self, positions: np.ndarray | slice) -> DSprites:
        """Return the set of the images at `positions` in this one: a slice, integers, or a boolean mask of length N."""
        packed = None if self.packed is None else self.packed[positions]
        return replace(self, index=self.index[positions], packed=packed)

    def subset(self, **kept: Classes) -> DSprites:
        """Return the set of the images whose factors have certain classes only, in the same order.

        `subset(shape=2, orientation=slice(None, None, 4), x=[0, 15, 31])`: by a factor's name one class, a slice of all
        its classes, or several.

        Raises:
            ValueError: an unknown factor, a class it does not have, or no image left.
        """
        chosen = np.ones(len(self), bool)
        factors = dict(zip(DSPRITES_FACTORS, self.factors.T, strict=True))
        for name, wanted in kept.items():
            if name not in factors:
                raise ValueError(f"there is no factor {name!r}; the factors are {', '.join(factors)}.")
            size = len(DSPRITES_FACTORS[name])
            classes = np.arange(size)[wanted] if isinstance(wanted, slice) else np.atleast_1d(wanted)
            if not classes.size or not np.isin(classes, np.arange(size)).all():
                raise ValueError(f"{name}={wanted} asks for {classes.tolist()}; its classes are 0 to {size - 1}.")
            chosen &= np.isin(factors[name], classes)
        if not chosen.any():
            raise ValueError(f"no image of this set has {kept}: ask for classes that it still holds.")
        return self.take(chosen)
