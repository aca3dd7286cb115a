"""A diffusion transformer beside a U-Net."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="transformer",
    title="A diffusion transformer beside a U-Net",
    question="Does a transformer denoise small images as well as a U-Net of as many parameters, in as many training "
    "steps and in as many seconds?",
    paper="Peebles & Xie 2023",
    minutes="6 to 12",
    shows="losses by step and by second, samples, Fréchet distances with errors, errors by noise level",
)
