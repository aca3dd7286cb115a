"""Scores of a Gaussian mixture."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="gmm_scores",
    title="Scores of a Gaussian mixture",
    question="What do learned and exact scores of a Gaussian mixture look like, and what do Langevin dynamics make of "
    "them?",
    paper="Song & Ermon 2019",
    minutes="2 to 3",
    shows="score fields, their errors, Langevin dynamics at one and at many noise levels, all samplers compared",
)
