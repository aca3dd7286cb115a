"""NCSN and NCSNv2 on images."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="ncsn",
    title="NCSNv2: annealed Langevin dynamics, technique by technique",
    question="What does each technique of NCSNv2 contribute on images?",
    paper="Song & Ermon 2020",
    minutes="15 to 20",
    shows="samples with and without each technique, their Fréchet distances and noise, chains level by level",
)
