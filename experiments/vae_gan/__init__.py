"""VAE against GAN on handwritten digits, compared by discriminators and by distances of features."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="vae_gan",
    title="VAE against GAN",
    question="Are the digits of a VAE or those of a GAN harder to tell from real ones, by the GAN's own discriminator, "
    "by fresh ones, and by distances of features?",
    paper="Lopez-Paz & Oquab 2017; Kingma & Welling 2014; Goodfellow et al. 2014",
    minutes="7",
    shows="samples and interpolations of both, loss curves, what discriminators say, one table of all measures",
)
