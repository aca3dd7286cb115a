"""Four autoencoders on one data set: VAE, VampPrior VAE, VQ-VAE and SC-VAE."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="vae_zoo",
    title="Four autoencoders",
    question="How do a VAE, a VampPrior VAE, a VQ-VAE and an SC-VAE compare in likelihood, reconstruction, use of the "
    "code and samples?",
    paper="Tomczak & Welling 2018; van den Oord et al. 2017",
    minutes="2",
    shows="reconstructions, interpolations and traversals of codes, samples of the priors, pseudo-inputs and atoms",
)
