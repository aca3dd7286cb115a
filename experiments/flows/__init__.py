"""Normalizing flows: densities of the plane, images, and what a likelihood says of samples."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="flows",
    title="Normalizing flows",
    question="How near do flows of every kind come to densities that are known, how many bits do they need for images, "
    "and does a good likelihood mean good samples?",
    paper="Durkan et al. 2019; Kingma & Dhariwal 2018; Theis et al. 2016",
    minutes="5 to 10",
    shows="learned densities beside the truth, distances to the entropy, samples at temperatures, two counterexamples",
)
