"""A dataset of dSprites for training that stores no images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, UInt8

from jaxgen.data.dsprites.lattice import COUNT, DSPRITES_FACTORS, check_index, dsprites_factors
from jaxgen.data.dsprites.render import SIDE, box_average, check_size, render_dsprites

FactorClasses = int | slice | Sequence[int] | np.ndarray


@dataclass(frozen=True, eq=False)
class DSprites:
    """A subset of dSprites, stored as compact `codes` that `images` turns into pixels, also under jit.

    A code is the index of an image in the lattice, or the bits of an image read from a file (`load_dsprites`). Draw
    batches of codes and turn them into images inside the loss; then no memory holds the whole dataset:

        data = DSprites().subset(orientation=slice(None, None, 4))
        batches = Batches(data.codes, 64)
        def loss(key, params, codes):
            x = data.images(codes) / 255  # in [0, 1]

    Attributes:
        index: (N,) indices of the images in the lattice; None takes all 737,280.
        size: height and width in pixels: 64, 32 or 16.
        average: how smaller sizes are made, as in `render_dsprites`.
        packed: (N, 512) uint8, the bits of the images if they come from a file; smaller sizes then need `average`.

    Raises:
        ValueError: if index is empty, not integers (N,) or outside the lattice, `packed` has another shape or dtype,
            `size` is none of these, or it is below 64 with `packed` and without `average`.
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
        """The rows that stand for the images: `packed` if there is one, else `index`."""
        return self.index if self.packed is None else self.packed

    @property
    def factors(self) -> Int32[np.ndarray, "n 6"]:
        """The classes of colour, shape, scale, orientation, x and y in the full lattice, each from 0."""
        return dsprites_factors(self.index)

    def images(
        self, codes: Int32[np.ndarray, " b"] | Int32[Array, " b"] | UInt8[np.ndarray, "b 512"] | UInt8[Array, "b 512"]
    ) -> UInt8[np.ndarray, "b size size 1"] | UInt8[Array, "b size size 1"]:
        """Return the images of codes.

        Args:
            codes: rows of `codes`: indices (b,), or bits (b, 512).

        Returns:
            Images (b, size, size, 1), uint8, as a NumPy or JAX array like the codes.

        Raises:
            ValueError: if a concrete index lies outside the lattice.
        """
        if self.packed is None:
            return render_dsprites(codes, self.size, self.average)
        xp = jnp if isinstance(codes, jax.Array) else np
        bits = xp.unpackbits(codes, axis=-1).reshape(-1, SIDE, SIDE, 1)
        return box_average(xp, bits * xp.uint8(255), self.size)

    def take(self, positions: np.ndarray | slice) -> DSprites:
        """Return the subset at `positions` in this dataset.

        Args:
            positions: a slice, integers (M,), or a boolean mask (N,).

        Returns:
            The subset, with the same `size` and `average`.

        Raises:
            ValueError: if no image is left.
        """
        packed = None if self.packed is None else self.packed[positions]
        return replace(self, index=self.index[positions], packed=packed)

    def subset(self, **classes: FactorClasses) -> DSprites:
        """Return the images whose factors have the given classes, in the same order.

        Args:
            **classes: for each factor a class, a sequence of classes, or a slice of all its classes, as in
                `subset(shape=2, orientation=slice(None, None, 4), x=[0, 15, 31])`.

        Returns:
            The subset, with the same `size` and `average`.

        Raises:
            ValueError: if a factor is unknown or lacks a class, or no image is left.
        """
        chosen = np.ones(len(self), bool)
        factors = dict(zip(DSPRITES_FACTORS, self.factors.T, strict=True))
        for name, wanted in classes.items():
            if name not in factors:
                raise ValueError(f"there is no factor {name!r}; the factors are {', '.join(factors)}.")
            size = len(DSPRITES_FACTORS[name])
            asked = np.arange(size)[wanted] if isinstance(wanted, slice) else np.atleast_1d(wanted)
            if not asked.size or not np.isin(asked, np.arange(size)).all():
                raise ValueError(f"{name}={wanted} asks for {asked.tolist()}; its classes are 0 to {size - 1}.")
            chosen &= np.isin(factors[name], asked)
        if not chosen.any():
            raise ValueError(f"no image of this set has {classes}: ask for classes that it still holds.")
        return self.take(chosen)
