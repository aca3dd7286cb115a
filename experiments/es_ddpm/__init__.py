"""Early-stopped DDPM: a diffusion model finishes the samples of a VAE."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="es_ddpm",
    title="ES-DDPM: a diffusion model finishes the samples of a VAE",
    question="How late can a diffusion model take over the samples of a VAE before its images are worse than those of "
    "the whole chain, and is that faster than longer steps from pure noise?",
    paper="Lyu et al. 2022",
    minutes="15 to 31",
    shows="samples by the start T′, quality against time, longer steps by DDPM and DDIM",
)
