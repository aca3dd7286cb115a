"""Game sprites by DDPM and DDIM."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="sprites",
    title="Sprites: DDPM and DDIM",
    question="Can a small diffusion model draw game sprites, what does the noise z do in sampling, and how many "
    "network calls does DDIM save over DDPM at what loss of quality?",
    paper="Ho et al. 2020; Song, Meng & Ermon 2021",
    minutes="7 to 19",
    shows="the forward process, samples of DDPM and DDIM, sampling without noise, quality against time",
)
