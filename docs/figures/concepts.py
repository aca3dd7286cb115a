"""Draws the figures of docs/concepts.md: `python docs/figures/concepts.py`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import diffusion, samplers
from jaxgen.distributions import GaussianMixture
from jaxgen.report import Panel2D, encode_figure, panels, panels_2d

HERE = Path(__file__).parent
LIMITS = (-3.0, 3.0)
MIXTURE = GaussianMixture(
    jnp.array([0.4, 0.3, 0.3]),
    jnp.array([[-1.2, -1.0], [1.3, -0.6], [0.0, 1.4]]),
    jnp.array([jnp.eye(2) * 0.06, jnp.eye(2) * 0.06, jnp.eye(2) * 0.06]),
)
PROCESS = diffusion.cosine()


def exact_score(x: jax.Array, t: jax.Array, cond: None) -> jax.Array:
    """The score of the mixture under the process's noise, in place of a network."""
    return MIXTURE.perturbed(PROCESS.alpha(t), PROCESS.sigma(t)).score(x)


DENOISE = diffusion.denoiser(PROCESS, exact_score, predicts="score")


def lattice(n: int) -> np.ndarray:
    """The centres (n, n, 2) of equal cells."""
    low, high = LIMITS
    axis = low + (high - low) * (np.arange(n) + 0.5) / n
    return np.stack(np.meshgrid(axis, axis), -1)


def density(t: float) -> np.ndarray:
    """The density of x_t on a lattice."""
    points = jnp.asarray(lattice(80), jnp.float32)
    noised = MIXTURE.perturbed(PROCESS.alpha(t), PROCESS.sigma(t))
    return np.exp(np.asarray(noised.log_density(points.reshape(-1, 2)))).reshape(points.shape[:-1])


def process_figure():
    """α and σ of three processes."""
    t = np.linspace(0, 1, 200)
    processes = {"cosine": diffusion.cosine(), "vp": diffusion.vp(), "rectified flow": diffusion.rectified_flow()}
    return panels(
        {
            "signal α(t)": {name: (t, process.alpha(t)) for name, process in processes.items()},
            "noise σ(t)": {name: (t, process.sigma(t)) for name, process in processes.items()},
        },
        x_label="time t",
    )


def noised_figure():
    """Points of the mixture at four times."""
    x0 = MIXTURE.sample(jax.random.key(0), 400)
    eps = jax.random.normal(jax.random.key(1), x0.shape)
    row = [
        Panel2D(f"t = {t:g}", density=density(t), points=np.asarray(diffusion.perturb(PROCESS, x0, t, eps)))
        for t in (0.0, 0.3, 0.6, 1.0)
    ]
    return panels_2d([row], LIMITS)


def denoiser_figure():
    """The direction from x_t to x̂0 at three times."""
    places = lattice(13).reshape(-1, 2)
    row = []
    for t in (0.2, 0.5, 0.8):
        x0 = DENOISE(jnp.asarray(places, jnp.float32), t).x0
        row.append(Panel2D(f"t = {t:g}", density=density(t), arrows=(places, np.asarray(x0) - places)))
    return panels_2d([row], LIMITS, color_label="length of x̂0 − x_t")


def sampler_figure():
    """Where two samplers take the same noise."""
    keys, times = jax.random.split(jax.random.key(2), 400), diffusion.uniform_grid(200)
    row = []
    for name, sampler in {"ddim": samplers.ddim(), "ddpm": samplers.ddpm()}.items():
        path = samplers.sample(keys, PROCESS, DENOISE, sampler, times, (2,), trajectory=True)
        row.append(Panel2D(f"{name}()", density=density(0.0), points=path[-1], paths=path[::5, :6]))
    return panels_2d([row], LIMITS)


if __name__ == "__main__":
    for name, draw in {
        "process": process_figure, "noised": noised_figure, "denoiser": denoiser_figure, "sampler": sampler_figure,
    }.items():  # fmt: skip
        (HERE / f"{name}.png").write_bytes(encode_figure(draw()).content)
