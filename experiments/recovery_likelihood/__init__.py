"""Recovery likelihood and energy-based priors against prior holes: in the plane, in a VAE's latents, on images."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="recovery_likelihood",
    title="Recovery likelihood and the prior hole",
    question="Do energies as reverse kernels close the holes that few Gaussian steps leave, do energy-based priors "
    "close those of a VAE, and what do both cost?",
    paper="Gao et al. 2021; Aneja et al. 2021; Pang et al. 2020",
    minutes="10",
    shows="chains of 2, 4 and 6 steps by Gaussian kernels and by energies, the latents of VAEs beside three priors, "
    "sprites by recovery likelihood and long chains from them",
)
