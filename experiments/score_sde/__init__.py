"""Score-based models by stochastic differential equations."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="score_sde",
    title="Score SDEs: VE, VP and sub-VP",
    question="How do the VE, VP and sub-VP SDEs compare by samples, likelihoods and codes?",
    paper="Song et al. 2021",
    minutes="10",
    shows="quality against network calls for ten samplers, predictor and corrector, the probability-flow ODE, "
    "likelihoods, codes of images",
)
