"""Materials and their colour ramps."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

# Default colours of the materials, by their letter in drawings.
MATERIALS: dict[str, tuple[str, ...]] = {
    "c": ("d04648", "3c64c8", "3c9a50", "8a4ab8", "e0a030", "2f8f9a", "d86a2c", "6a7488", "e070a0", "8a6444"),  # cloth
    "g": ("4a9c3c", "6ab04c", "3c8a5a"),  # leaves
    "h": ("4a3222", "8a5228", "c8862e", "f2d468", "b8402c", "34344a", "d4d8e4", "5a7bd0", "9a4fb0", "e87ab0"),  # hair
    "k": ("6a4226", "4a4658", "8a5a34"),  # boots
    "l": ("6a5646", "46587c", "74747e", "8a6a44", "56486a"),  # trousers
    "m": ("b4c0d4", "94a0b4", "e0b854", "c08a58"),  # metal
    "r": ("dc4040",),  # red
    "s": ("fcd8b4", "f4c498", "dca070", "b47c54", "8c5c40"),  # skin
    "t": ("f2cc54", "e4e6f0", "d04648", "4878d8", "50b068", "584860"),  # trim
    "w": ("a06a3c", "b8824e", "8a5834"),  # wood and leather
    "x": ("c03848", "3450a8", "2e7a48", "6a3c98", "c88a28", "4a4a60"),  # capes
    "y": ("f4cc48", "f0b030"),  # gold
}

PAPER, OUTLINE, WHITE, BLACK = "ffffff", "2a2036", "fbfbf4", "1c1826"
FIXED_COLOURS = (PAPER, OUTLINE, WHITE, BLACK, PAPER)  # of the inks .#oe_

# Shades lean towards blue and lights towards yellow, as is usual in pixel art.
_SHADE = np.array([0.66, 0.60, 0.72])
_LIGHT = np.array([0.55, 0.52, 0.38])


def rgb(codes: Sequence[str]) -> Float[np.ndarray, "n 3"]:
    """Return the colours, in [0, 255], of hexadecimal codes such as "d04648"."""
    return np.array([list(bytes.fromhex(code)) for code in codes], float)


def ramps(base: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Return the (shade, plain, light) tones of colours in [0, 255]."""
    return np.stack([base * _SHADE, base, base + (255.0 - base) * _LIGHT], axis=1)
