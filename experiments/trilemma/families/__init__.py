"""The families, by name; each file makes one."""

from collections.abc import Callable

import jax

from experiments.kit.run import BadInput
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.families import ddgan, ddpm, ebm, flow, gan, ncsn, sde, vae
from experiments.trilemma.family import Family

FAMILIES: dict[str, Callable[[Config, Data], Family]] = {
    "vae": vae.family,
    "gan": gan.family,
    "flow": flow.family,
    "ebm": ebm.family,
    "ncsn": ncsn.family,
    "ddpm": ddpm.family,
    "sde": sde.family,
    "ddgan": ddgan.family,
}


def families(config: Config, data: Data) -> dict[str, Family]:
    """The families that are compared, in the order of this list; raises BadInput for images that one does not take."""
    chosen = {}
    for name, make in FAMILIES.items():
        if name in config.models:
            try:
                chosen[name] = make(config, data)
                jax.eval_shape(chosen[name].training.initial, 0)
            except (ValueError, TypeError) as error:
                raise BadInput(f"{name}: {error}") from error
    return chosen
