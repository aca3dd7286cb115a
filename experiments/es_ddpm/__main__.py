"""ES-DDPM: a sample of a VAE, noised to step T′ and denoised from there, instead of the whole reverse chain.

Exercise 5 of the homework's theory (Lyu et al. 2022, early-stopped DDPM). The noisy part of the reverse chain decides
what a fast model has decided already. How much of it can be left out depends on how good that model's samples are.
"""

from pathlib import Path

from experiments.es_ddpm import EXERCISE
from experiments.es_ddpm.config import PRESETS, Config
from experiments.es_ddpm.measure import measure
from experiments.es_ddpm.report import write
from experiments.es_ddpm.train import build, train_diffusion, train_vae
from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config)
    networks = build(config, data)
    run = begin(EXERCISE, config)
    vae = train_vae(run, networks, data)
    diffusion = train_diffusion(run, networks, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, vae, diffusion, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
