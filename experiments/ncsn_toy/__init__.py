"""Score matching and Langevin dynamics on two Gaussians and on a ring."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="ncsn_toy",
    title="Why scores are learned under noise",
    question="Why does plain Langevin sampling lose the weights of modes, and why does annealing restore them?",
    paper="Song & Ermon 2019",
    minutes="2 to 7",
    shows="scores where data are rare, mode weights of Langevin samples, scores on a ring, four objectives' cost",
)
