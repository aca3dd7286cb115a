"""Energy-based models in the plane."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="ebm",
    title="Energy-based models in the plane",
    question="How near do energies come to known densities by maximum likelihood, by score matching and by recovery "
    "likelihood, what do short chains learn instead, and what does sampling cost beside a DDPM?",
    paper="Du & Mordatch 2019; Nijkamp et al. 2019; Gao et al. 2021",
    minutes="5 to 10",
    shows="energy landscapes beside the truth, divergences by quadrature, log-likelihoods with error bars, the drift "
    "of short-run samples, samples against calls",
)
