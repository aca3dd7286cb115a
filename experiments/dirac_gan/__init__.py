"""Dirac-GAN: which training methods of GANs converge, on the smallest example that tells them apart."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="dirac_gan",
    title="The stability of GANs on the Dirac-GAN",
    question="Which of eight ways to train a GAN converge on the smallest example, in continuous time and by steps of "
    "both players at once or in turn, and how strong may a remedy and how long may a step be?",
    paper="Mescheder et al. 2018",
    minutes="1",
    shows="phase portraits of eight variants, eigenvalues against their formulas, critical strengths and step sizes",
)
