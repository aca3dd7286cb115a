"""Training of the four autoencoders."""

from experiments.kit.run import Run
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from experiments.vae_zoo.gaussian import train_vae, train_vamp_prior
from experiments.vae_zoo.model import Model
from experiments.vae_zoo.sc_vae import train_sc_vae
from experiments.vae_zoo.vq_vae import train_vq_vae


def train(run: Run[Config], data: Data) -> dict[str, Model]:
    """The trained autoencoders by name."""
    kinds = (train_vae, train_vamp_prior, train_vq_vae, train_sc_vae)
    return {model.name: model for model in (train_model(run, data) for train_model in kinds)}
