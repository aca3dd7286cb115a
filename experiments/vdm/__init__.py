"""Variational diffusion models with a fixed and with a learned noise schedule."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="vdm",
    title="Variational diffusion models",
    question="How many bits per pixel value does a diffusion model need, does its bound depend on the shape of the "
    "noise schedule, and what does a learned noise schedule gain?",
    paper="Kingma et al. 2021",
    minutes="9",
    shows="fixed and learned schedules, the bound under four shapes and in T steps, bits per dimension, samples",
)
