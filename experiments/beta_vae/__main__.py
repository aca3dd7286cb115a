"""VAE and β-VAE on dSprites: scores of disentanglement as β rises, and what each latent dimension has learned.

Exercise 2 of the report (Higgins et al. 2017; Chen et al. 2018). The images are rendered on demand, so the full set of
737,280 is never held in memory.
"""

from pathlib import Path

from experiments.beta_vae import EXERCISE
from experiments.beta_vae.config import PRESETS, Config
from experiments.beta_vae.data import load
from experiments.beta_vae.measure import measure
from experiments.beta_vae.report import write
from experiments.beta_vae.train import train
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    run = begin(EXERCISE, config)
    models = train(run, data)
    measured = measure(run, data, models)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
