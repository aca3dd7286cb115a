"""Variational inference where the exact answer is known."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="variational",
    title="Variational inference",
    question="How near do coordinate ascent, stochastic ascent and amortised inference come to exact posteriors and "
    "evidences, what does the mean field lose, and which gradient of the bound is the least noisy?",
    paper="Hoffman et al. 2013; Kingma & Welling 2014",
    minutes="2",
    shows="bounds against the exact evidence, mean fields on exact posteriors, the noise of seven gradients",
)
