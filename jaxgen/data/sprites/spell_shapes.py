"""The shapes of spells that are computed: contours of distance fields, from a dark rim to a white core."""

import numpy as np

from jaxgen.data.sprites.sheet import FIXED_INKS, LIGHT, PLAIN, SHADE, SIDE, Drawings, ink

# Pixel centres, with the origin in the middle of the sprite and y upwards.
X, Y = np.meshgrid(np.arange(SIDE) - (SIDE - 1) / 2, (SIDE - 1) / 2 - np.arange(SIDE))
RADIUS, ANGLE = np.hypot(X, Y), np.arctan2(Y, X)
WHITE = FIXED_INKS.index("o")


def glow(field: np.ndarray, *contours: float) -> np.ndarray:
    """Draw a field (16, 16): each contour that it lies below gives the next brighter tone, from rim to white core."""
    drawing = np.zeros((SIDE, SIDE), np.uint8)
    for contour, tone in zip(contours, (ink("f", SHADE), ink("f", PLAIN), ink("f", LIGHT), WHITE), strict=False):
        drawing[field < contour] = tone
    return drawing


def star(points: int, sharpness: float, phase: float = 0.0) -> np.ndarray:
    """Return a distance that is stretched towards `points` directions."""
    return RADIUS * (1.0 + sharpness * (1.0 - np.cos(points * (ANGLE - phase))) / 2.0)


def comet(angle: float, head: float, length: float) -> np.ndarray:
    """Return a distance, 1 on the rim, to a ball of radius `head` flying towards `angle` with a tapering tail."""
    along, across = X * np.cos(angle) + Y * np.sin(angle), Y * np.cos(angle) - X * np.sin(angle)
    centre = 6.5 - head
    behind = np.clip((centre - along) / length, 0.0, 1.0)
    distance = np.hypot(along - (centre - behind * length), across)
    return distance / (head * (1.0 - 0.85 * behind))


def bolt(*corners: tuple[float, float]) -> np.ndarray:
    """Return the distance in pixels to a broken line."""
    point = np.stack([X, Y], -1)
    distances = []
    for start, end in zip(np.array(corners[:-1], float), np.array(corners[1:], float), strict=True):
        way = end - start
        part = np.clip((point - start) @ way / (way @ way), 0.0, 1.0)
        distances.append(np.linalg.norm(point - start - part[..., None] * way, axis=-1))
    return np.min(distances, axis=0)


def spiral(arms: int, pitch: float, phase: float) -> np.ndarray:
    """Return the distance in turns to the nearest of `arms` arms that wind once in `pitch` pixels."""
    turns = arms * (ANGLE - phase) / (2 * np.pi) - RADIUS / pitch
    return np.abs(turns - np.round(turns)) + np.where(RADIUS > 7.4, 1.0, 0.0)


def overlay(bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Lay one drawing on another."""
    return np.where(top, top, bottom)


def orb(rim: float, shift: float) -> np.ndarray:
    """Return a ball of radius `rim` lit from `shift` pixels above and to the left of its centre."""
    lit = np.hypot(X + shift, Y - shift)
    return overlay(glow(RADIUS, rim, rim - 1.1), glow(lit, 0.0, 0.0, rim * 0.55, rim * 0.28))


# By the names that the layers of `sheets/spells.txt` have for them.
SPELL_SHAPES: dict[str, Drawings] = {
    "orbs": (
        *(orb(rim, shift) for rim in (5.6, 6.5, 7.4) for shift in (0.0, 1.5)),
        *(overlay(glow(np.abs(RADIUS - 6.9), 0.7, 0.7), orb(4.4, shift)) for shift in (0.0, 1.0)),
    ),
    "rings": tuple(
        glow(np.abs(RADIUS - radius), width, width * 0.65, width * 0.3)
        for radius, width in ((6.2, 1.4), (5.6, 2.0), (5.0, 2.4), (5.8, 1.6))
    ),
    "stars": tuple(
        glow(star(points, sharpness, phase), 7.6, 5.8, 3.8, 2.2)
        for points, sharpness, phase in (
            (4, 2.5, 0.0),
            (4, 2.5, np.pi / 4),
            (8, 0.7, 0.0),
            (8, 1.2, np.pi / 8),
            (6, 1.2, np.pi / 2),
            (5, 1.0, np.pi / 2),
            (12, 0.6, 0.0),
        )
    ),
    "spirals": tuple(
        overlay(glow(spiral(arms, pitch, phase), 0.34, 0.22, 0.1), glow(RADIUS, 0.0, 0.0, 2.2, 1.5))
        for arms, pitch in ((1, 5.0), (2, 9.0), (3, 12.0))
        for phase in (0.0, np.pi / 2)
    ),
    "crescents": tuple(
        glow(np.maximum(RADIUS - 7.6, inner - np.hypot(X + shift, Y)), 0.0, -0.9, -1.7, -2.6)
        for inner, shift in ((6.8, 3.4), (7.2, 4.8), (6.2, 2.6), (8.4, 6.4))
    ),
    "comets": tuple(
        glow(comet(angle, head, length), 1.0, 0.78, 0.5, 0.25)
        for angle in (np.pi / 4, 0.0, -np.pi / 4, -np.pi / 2)
        for head, length in ((5.4, 9.0), (4.6, 10.0))
    ),
    "bolts": (
        glow(bolt((3.0, 7.5), (-2.0, 1.0), (2.0, 1.0), (-3.0, -7.0)), 1.9, 1.2, 0.75),
        glow(bolt((4.0, 7.5), (-3.0, 2.0), (3.0, -0.5), (-4.0, -7.0)), 2.1, 1.3, 0.7),
    ),
    "crystals": tuple(
        glow(np.abs(X) / width + np.abs(Y) / height, 1.0, 0.8, 0.5, 0.25)
        for width, height in ((4.6, 8.0), (6.4, 8.0), (8.0, 8.0))
    ),
}
