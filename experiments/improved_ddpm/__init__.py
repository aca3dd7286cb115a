"""Improved DDPM: schedules, learned variances, and objectives for the variational bound."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="improved_ddpm",
    title="Improved DDPM: training for likelihood",
    question="What do the cosine schedule, learned variances and the choice of objective do for the likelihood and the "
    "samples of a diffusion model, and how much of the reverse chain can be skipped?",
    paper="Nichol & Dhariwal 2021",
    minutes="9",
    shows="the signal along the chain, bits per dimension by variance and steps, samples, chains that start late",
)
