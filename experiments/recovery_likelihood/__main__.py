"""Recovery likelihood and the prior hole: energies where a Gaussian leaves mass between the modes.

In the plane, reverse chains of a few steps by Gaussian kernels and by kernels of energies. In the latents of VAEs,
three priors that an energy tilts. On images, recovery likelihood from noise to sprites, and long chains from them.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.recovery_likelihood import EXERCISE, train_images, train_latent, train_plane
from experiments.recovery_likelihood.config import PRESETS, Config
from experiments.recovery_likelihood.measure import measure
from experiments.recovery_likelihood.report import write


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config, config.held_out)
    vae, chain = train_latent.build(config, data), train_images.build(config, data)
    run = begin(EXERCISE, config)
    plane = train_plane.train(run)
    latent = train_latent.train(run, vae, data)
    models = train_images.train(run, chain, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, plane, latent, models, data, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
