"""Graphical models: every statement decided by the program."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="graphical_models",
    title="Graphical models",
    question="Which statements on two Bayesian networks and a Markov network are true, what does a conversion between "
    "them lose, and what can be asked of a network that is learned from samples?",
    paper="Koller & Friedman 2009",
    minutes="1",
    shows="the networks, true and false statements with their reasons, partition functions, networks learned again",
)
