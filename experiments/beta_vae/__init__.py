"""Disentanglement of dSprites by β-VAEs."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="beta_vae",
    title="β-VAE on dSprites",
    question="Does a larger β disentangle the factors of dSprites, as the mutual information gap measures it, and what "
    "does that cost in reconstruction?",
    paper="Higgins et al. 2017",
    minutes="6",
    shows="reconstructions, scores of disentanglement by β, traversals of the code, the code by position",
)
