"""GANs with diffusion: a GAN with a noised critic, and a diffusion model of four steps whose generator is a GAN's.

In the plane, six methods on two mixtures of Gaussians over several seeds: which modes do they find, and how good are
their samples? On images, a denoising diffusion GAN beside DDPM and DDIM: quality against seconds.
"""

from pathlib import Path

from experiments.diffusion_gan import EXERCISE, train_images, train_plane
from experiments.diffusion_gan.config import PRESETS, Config
from experiments.diffusion_gan.measure import measure
from experiments.diffusion_gan.report import write
from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config)
    nets = train_images.build(config, data)
    run = begin(EXERCISE, config)
    plane = train_plane.train(run)
    models = train_images.train(run, nets, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, plane, data, models, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
