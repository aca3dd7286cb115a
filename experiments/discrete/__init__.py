"""Discrete diffusion of sprites, digits and text."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="discrete",
    title="Diffusion over categories",
    question="How do masked, uniform and ordinal chains compare on palette sprites, binary digits and text, and how "
    "far are their bounds from exact likelihoods?",
    paper="Austin et al. 2021; Shi et al. 2024; Lou et al. 2024",
    minutes="6 to 10",
    shows="bits per token beside n-gram models, samples, bounds against exact values on an enumerable law, the fault "
    "of one categorical draw",
)
