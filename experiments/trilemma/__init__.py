"""The generative trilemma: eight families of models on one data set, under one budget."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="trilemma",
    title="The generative trilemma",
    question="Of eight families of models, which draws good images, which covers the data, and which is fast, after as "
    "many seconds of training each?",
    paper="Xiao et al. 2022; Song et al. 2021",
    minutes="18",
    shows="images of every family, quality, coverage, speed and likelihood beside the literature's, quality along the "
    "training, codes of two seeds",
)
