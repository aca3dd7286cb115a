"""What a model makes of held-out images, and what its codes draw."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.vae_zoo.gaussian import pseudo_images
from experiments.vae_zoo.model import SC, VAMP, LogLikelihood, Model, Usage
from experiments.vae_zoo.sc_vae import single_atoms
from jaxgen.generation import generate

POINTS = np.linspace(0, 1, 9)  # of the straight line between two codes
VALUES = np.linspace(-2.5, 2.5, 9)  # of a dimension of a code
SHOWN_DIMENSIONS, SHOWN_LEARNED = 12, 36


class Plane(NamedTuple):
    """Codes in the plane of their first two principal components.

    Attributes:
        points: (n, 2), in standard deviations of the first component.
        share: share of the variance that lies in the plane.
    """

    points: np.ndarray
    share: float


class HeldOut(NamedTuple):
    """A model's results on held-out images, n of them.

    Attributes:
        reconstructions: mean images of their codes, (n, h, w, c).
        errors: root mean square error of a pixel in [−1, 1], (n,).
        log_likelihood: (n,) each, None without a prior.
        usage: how much of the code is used.
        plane: the codes of the images that are shown.
        interpolation: (9, h, w, c), between the codes of the first two images.
        traversal: (k, 9, h, w, c), along each dimension of the first image's code; None unless codes are vectors.
        learned: pseudo-inputs, or images of single atoms; None where the model has neither.
    """

    reconstructions: np.ndarray
    errors: np.ndarray
    log_likelihood: LogLikelihood | None
    usage: Usage
    plane: Plane
    interpolation: np.ndarray
    traversal: np.ndarray | None
    learned: np.ndarray | None


def examine(model: Model, key: jax.Array, images: np.ndarray, shown: np.ndarray, progress: bool = False) -> HeldOut:
    """Encode, decode and weigh held-out images, and decode what lies between and beside their codes.

    Args:
        model: the model.
        key: image i has the key `fold_in(key, i)`.
        images: held-out images (n, h, w, c), two or more.
        shown: rows of the images whose codes are shown.
        progress: whether to show a progress bar.
    """

    def look(params, keys, x):
        codes = model.encode(params, x)
        said = None if model.log_likelihood is None else model.log_likelihood(params, keys, x)
        return codes, model.decode(params, codes), said

    codes, rebuilt, said = generate(
        look, model.params, key, len(images), batch_size=min(256, len(images)), cond=images, progress=progress
    )
    drawn = {"interpolation": between(*codes[:2])}
    if codes.ndim == 2:
        drawn["traversal"] = along(codes[0])
    if model.name == SC:
        drawn["learned"] = single_atoms(codes, SHOWN_LEARNED)
    drawn = _decode_all(model, drawn)
    if model.name == VAMP:
        drawn["learned"] = np.asarray(pseudo_images(model.params))[:SHOWN_LEARNED]
    errors = np.sqrt(np.mean((rebuilt - images).reshape(len(images), -1) ** 2, axis=-1))
    plane = principal_plane(codes[shown].reshape(len(shown), -1))
    return HeldOut(
        rebuilt, errors, said, model.usage(codes), plane, drawn["interpolation"], drawn.get("traversal"),
        drawn.get("learned"),
    )  # fmt: skip


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Codes (9, *d) on the straight line from a to b."""
    return np.stack([(1 - share) * a + share * b for share in POINTS]).astype(np.float32)


def along(code: np.ndarray) -> np.ndarray:
    """Codes (k, 9, d): in row i, dimension i of the code (d,) takes nine values, and the others are kept."""
    k = min(len(code), SHOWN_DIMENSIONS)
    z = np.tile(code, (k, len(VALUES), 1)).astype(np.float32)
    for i in range(k):
        z[i, :, i] = VALUES
    return z


def principal_plane(codes: np.ndarray) -> Plane:
    """Codes (n, d) in the plane of their first two principal components; a missing second component is 0."""
    centred = codes.astype(np.float64) - codes.mean(0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:2].T / max(spread[0] / len(codes) ** 0.5, 1e-12)
    share = np.sum(spread[:2] ** 2) / max(np.sum(spread**2), 1e-12)
    return Plane(np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), float(share))


def _decode_all(model: Model, codes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The images of codes (..., *d), by one compiled call."""
    event = codes["interpolation"].shape[1:]
    flat = np.concatenate([z.reshape(-1, *event) for z in codes.values()])
    images, found = np.asarray(jax.jit(model.decode)(model.params, jnp.asarray(flat))), {}
    for name, z in codes.items():
        lead = z.shape[: z.ndim - len(event)]
        part, images = np.split(images, [int(np.prod(lead))])
        found[name] = part.reshape(*lead, *part.shape[1:])
    return found
