"""Conditional samples of an unconditional model: inpainting, colourisation, super-resolution, classes."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="controllable",
    title="Controllable generation without retraining",
    question="Can an unconditional model fill in pixels, colours and classes that it was never trained for, and which "
    "method fits the observation and the data best?",
    paper="Song et al. 2021; Lugmayr et al. 2022",
    minutes="6",
    shows="inpainting, colourisation and super-resolution by projection, RePaint, DPS and ΠGDM; classifier guidance",
)
