"""The speed of sampling and training."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="benchmark",
    title="Speed of sampling and training",
    question="How much does each sampler cost beyond its network calls, how much does a training step cost beyond its "
    "gradient, and how do both compare with diffusers?",
    paper="von Platen et al. 2022 (diffusers)",
    minutes="a few",
    shows="the overhead of every sampler, its compile time and memory, and the cost of a training step",
)
