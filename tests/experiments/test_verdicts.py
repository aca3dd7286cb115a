"""What reports say of their numbers: each verdict on numbers that decide it one way and the other."""

import numpy as np
import pytest

from experiments import captcha_report as captcha
from experiments import controllable_classes as classes
from experiments import es_ddpm_report as es_ddpm
from experiments import gmm_scores_findings as gmm
from experiments import gmm_scores_samples as gmm_samples
from experiments import improved_ddpm_samples as improved
from experiments import ncsn_report as ncsn
from experiments import ncsn_toy_gradients as toy_gradients
from experiments import ncsn_toy_manifold as manifold
from experiments import ncsn_toy_report as ncsn_toy
from experiments import ncsn_toy_weights as weights
from experiments import toy_chance as chance
from experiments import variational_ascent as ascent
from experiments import variational_encoders as encoders
from experiments import variational_gradients as gradients
from experiments import variational_mixture as mixture
from experiments import variational_posteriors as posteriors
from experiments import variational_toy as toy
from experiments import vdm_report as vdm
from experiments.captcha_reader import Reading
from experiments.es_ddpm_report import FAST, FULL, Compared
from experiments.timing import Spread
from jaxgen.metrics import MeanAndError as E


def read(mean, error=0.01):
    real = Reading(E(0.9, 0.01), E(0.95, 0.01))
    return captcha._verdict(Reading(E(mean, error), real.characters), real)


def late(excess, seconds=None, margin=0.1):
    """The findings of methods at the distance 2, some of which may be so far above the whole chain."""
    names = [FAST, "from T′ = 5", "from T′ = 9", *(f"{k}, {n} longer steps" for k in ("DDPM", "DDIM") for n in (5, 9))]
    found = {name: Compared([2.0, 2.0], excess.get(name, 1.0), margin) for name in names}
    found |= {FULL: Compared([2.0, 2.0], 0.0, 0.0)}
    return es_ddpm.findings(found, dict.fromkeys(found, 1.0) | {FULL: 4.0} | (seconds or {}), (5, 9), 0.1)


def equal_calls(from_late, longer):
    found = {f"from T′ = {n}": Compared(from_late, 1.0, 0.1) for n in (5, 9)}
    return es_ddpm._at_equal_calls(
        found | {f"DDPM, {n} longer steps": Compared(longer, 1.0, 0.1) for n in (5, 9)}, (5, 9)
    )


def around(mean, error):
    """Four values of this mean and standard error."""
    return mean + error * np.sqrt(3) * np.array([-1.0, -1.0, 1.0, 1.0])


def denoised(before, after, *change):
    return ncsn.last_denoising(
        np.array(before), np.array(after), {ncsn.UNDENOISED: around(*change), "another": around(0, 1)}
    )


def ring(bare, noisy):
    row = {
        "loss": E(-54398.0, 900.0), "least loss": -49.74, "relative error": E(0.08, 0.01),
        "above the least loss": E(0.29, 0.02), "fall over the last quarter": E(1.5, 0.25),
    }  # fmt: skip
    return manifold.curve_told({**row, "still falls": bare}, {**row, "still falls": noisy}, 0.1)


def mode_weights(plain, learned, expected):
    share = {"Langevin, exact": plain, "annealed, exact": 0.783, "annealed, learned": learned}
    share["the same, 3 × the steps"] = learned + 0.01
    rows = {n: {"share at (5, 5)": E(x, 0.001), "changed sides": 0.5} for n, x in share.items()}
    return weights.weights_told(0.8, rows, {"annealed, exact": 0.783, "the same, 3 × the steps": expected}, 100)


def toy_ends(kl, far=0.3, error=0.1):
    names = zip(gradients.OF_ELBO, kl, strict=True)
    rows = [{"estimator": name, "x": 1.0, "KL": E(of, of * error), "chance": 0.3} for name, of in names]
    return toy.toy_told([rows[0] | {"chance": far}, *rows[1:]])


def encoded(trained, smallest):
    first = {"rank": 1, "least": 0.5, "trained": E(0.51, 0.001), "smallest of any datum": 0.1}
    return encoders.amortisation_told([first, first | {"rank": 2, "least": 0.0} | {"trained": trained} | smallest])


def ends(own):
    row = {"MMD to its own law / floor": E(own, 0.05), "MMD / floor": E(3.1, 0.2), "width": E(1.37, 0.01)}
    return gmm.ends_told(row, 1.36)


def batches(off, end, sweep):
    row = {"mean over all batches / ELBO − 1": off, "below the optimum after 1 pass": (1.0, 0.1)}
    return mixture.minibatches_told([row | {"at the end": (0.2, 0.05)}, row | {"at the end": end}], sweep)


IMAGE = np.random.default_rng(0).normal(5, 2, 100)  # images differ far more than numbers of steps do
OFF = 0.1 * np.random.default_rng(1).normal(size=(2, 100))
NOISY, LESS, NONE = np.array([0.3, 0.4, 0.35, 0.4]), np.array([0.02, 0.0, 0.01, 0.0]), np.zeros(4)
SPREADS = [Spread(1.2, 1.1, 1.3), Spread(1.4, 1.3, 1.5)]
DSM = [E(9.0, 0.1), E(1.1, 0.1), E(0.5, 0.1)]
NARROW = {"model": posteriors.LINEAR_GAUSSIAN, "variable": "z₁", "ratio": 0.6, "exact correlation": -0.8}
WIDE = {"model": "m", "variable": "v", "ratio": 1.02, "exact correlation": 0.0}
MODES = {"c": [3.0, 3.1, 3.2], "a": [1.0, 1.2, 1.4], "b": [1.1, 1.15, 1.46]}
SLOPES = {"a": E(-0.5, 0.01), "b": E(0.5, 0.01), "c": E(0.01, 0.01), "d": E(np.nan, np.nan)}
HALF, TRUE = E(0.46, 0.01), E(0.26, 0.01)
SAID = [
    (lambda: read(0.76), "which surely meets the mark of 80%"),
    (lambda: read(0.73), "which meets the mark of 80%, though not beyond chance"),
    (lambda: read(0.71), "which misses the mark of 80%, though not beyond chance"),
    (lambda: read(0.6), "which surely misses the mark of 80%"),
    (lambda: read(0.76, 0.1), "though not beyond chance"),
    (lambda: captcha._picked(3.0, (1.0, 3.0, 2.0)), "largest that was tried"),
    (lambda: captcha._picked(1.0, (1.0, 3.0, 2.0)), "smallest that was tried"),
    (lambda: classes._asked({classes.ASKED: tuple(classes.share(np.ones(100)))}), "100.00 ± 0.50%"),
    (lambda: late({}, margin=0.3)[0], "too few"),
    (lambda: late({"from T′ = 9": 0.19})[0], "**T′ = 9** is the latest"),
    (lambda: late({"from T′ = 5": 0.19, "from T′ = 9": 0.1})[0], "**T′ = 5** is the latest"),
    (lambda: late({"from T′ = 9": 0.21})[0], "**No T′** was shown"),  # above the margin of 10 % of 2
    (lambda: late({"from T′ = 9": 0.1}, {"from T′ = 9": 5.0})[0], "**No T′** was shown"),  # not faster
    (lambda: late({"DDIM, 5 longer steps": 0.0})[2], "DDIM from noise takes 5 for the same"),
    # paired: the sets' own spread of 10 does not hide a difference of 1
    (lambda: equal_calls([3.0, 13.0], [1.9, 12.1]), "DDPM's longer steps from noise are surely better by 5, 9."),
    (lambda: equal_calls([1.9, 12.1], [3.0, 13.0]), "the chain from T′ on is surely better by 5, 9."),
    (lambda: equal_calls([3.0, 13.0], [2.0, 14.0]), "neither was shown to be better."),
    (lambda: gmm.stops({"a": 0.01, "b": 0.0}), "climbs and stops"),
    (lambda: gmm.stops({"a": 0.01, "b": 0.6}), "in the last tenth still moves by up to 0.6 (b)"),
    (lambda: gmm.noise_told(E(3e-6, 1e-7), E(1.02, 0.01)), "Noise is what makes samples"),
    (lambda: gmm.weights_told(0.25, HALF, 0.45, {"network": TRUE}), "restores them within 0.02: 0.260 ± 0.010"),
    (lambda: gmm.weights_told(0.25, TRUE, 0.26, {"a": TRUE, "b": HALF}), "does not lose the weights"),
    (lambda: gmm.weights_told(0.25, TRUE, 0.26, {"a": TRUE, "b": HALF}), "does not restore them"),
    (lambda: ends(0.96), "to σ = 1 have the law"),
    (lambda: ends(4.8), "to σ = 1 do not have the law"),
    (lambda: gmm.twice(E(0.9, 0.1)), "0.90 ± 0.10 floors from p, within twice the floor"),
    (lambda: gmm.twice(E(2.1, 0.1)), "2.10 ± 0.10 floors from p, beyond twice the floor"),
    (lambda: gmm.difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.401]), "0.09967 ± 0.00033 more"),
    (lambda: gmm.difference([0.2, 0.5], [0.3, 0.5]), "less, which 2 seeds cannot tell from nothing"),
    (lambda: improved.factor(E(np.log(2.0), 0.1)), "2.00 ± 0.20 (harmful)"),
    (lambda: improved.factor(E(np.log(2.0), 0.5)), "2.0 ± 1.0 (no harm shown)"),
    (lambda: denoised([1.5, 1.7, 1.6], [0.6, 0.8, 0.9], 0.03, 0.01), "lowers the noise, from 1.6 to 0.767 σ_L"),
    (lambda: denoised([1.5, 1.7, 1.6], [0.6, 0.8, 0.9], 0.03, 0.01), "cannot tell (+0.03 ± 0.01)"),
    (lambda: denoised([0.6, 0.8, 0.9], [1.5, 1.7, 1.6], 0.3, 0.01), "raises the noise"),
    (lambda: denoised([1.5, 1.7, 1.6], [1.6, 1.7, 1.5], -0.3, 0.01), "prefers the samples without it"),
    (lambda: ncsn.whose_fault(NOISY, NONE), "told σ returns 0%: it is for having to read the noise off x"),
    (lambda: ncsn.whose_fault(NOISY, LESS), "told σ returns 1%: it is mostly for having to"),
    (lambda: ncsn.whose_fault(NOISY, NOISY + 0.3), "it is not for having to"),
    (lambda: ncsn.outside({"a": 0.0}, 20), "none"),
    (lambda: ncsn.outside({"a": 0.0, "b": 0.2}, 20), "**Samples that are noise**, of 20 each: b 20%."),
    (lambda: ncsn_toy.empty_regions(E(0.03, 0.001), E(0.5, 0.01), 0.6, 20.0, E(0.03, 0.01)), "fills the gap: at σ"),
    (lambda: ncsn_toy.empty_regions(E(0.5, 0.01), E(0.5, 0.01), 0.6, 20.0, E(0.5, 0.01)), "does not grow"),
    (lambda: ncsn_toy.empty_regions(E(0.5, 0.01), E(0.5, 0.01), 0.6, 20.0, E(0.5, 0.01)), "does not fill the gap"),
    (lambda: mode_weights(0.5, 0.781, 0.793), "Annealing restores them within 0.03: 0.7830"),
    (lambda: mode_weights(0.5, 0.781, 0.793), "off by 0.017 after 100 steps a level and by 0.007 after 300"),
    (lambda: mode_weights(0.79, 0.6, 0.783), "does not lose the weights"),
    (lambda: ring(True, False).split("With noise 0.1")[0], "still falls (by 1.50 ± 0.25"),
    (lambda: ring(True, False).split("With noise 0.1")[1], "no longer falls beyond chance"),
    (lambda: ring(False, True).split("With noise 0.1")[0], "no longer falls"),
    (lambda: toy_gradients.compared([0.1, 1, 10], DSM, E(1.0, 0.05)), "below SSM's at 10, within chance of it at 1"),
    (lambda: toy_gradients.dearer(SPREADS, [Spread(1.0, 0.8, 1.1), Spread(1.0, 0.9, 1.02)]), "1.2 to 1.4"),
    (lambda: toy_gradients.dearer([SPREADS[0]] * 2, [Spread(1.0, 0.8, 1.1)] * 2), "cannot tell from 1"),
    (lambda: chance.ranking(MODES), "a 1.20 ± 0.12 ≈ b 1.24 ± 0.11 < c 3.100 ± 0.058"),
    (lambda: chance.restores([E(0.785, 0.001)], 0.8), "restores them within 0.02"),
    (lambda: chance.restores([E(0.77, 0.02)], 0.8), "restores them within chance, not within 0.02"),
    (lambda: chance.restores([E(0.77, 0.01)], 0.8), "does not restore them"),
    (lambda: chance.loses(E(0.77, 0.02), 0.8), "does not lose the weights"),
    (lambda: ascent.never_lowers({"a": np.array([0.3, -1e-14])}), "never lowered the ELBO beyond rounding"),
    (lambda: ascent.never_lowers({"b": np.array([0.1, -2e-5])}), "lowered the ELBO by up to 2e-05 of it (b)"),
    (lambda: posteriors.widths_told([NARROW]), "is narrower in every variable"),
    (lambda: posteriors.widths_told([NARROW, WIDE]), "as wide as the posterior or wider in v of the m"),
    (lambda: batches(1e-16, (2.0, 0.3), 30.0), "goes further than a sweep of coordinate ascent (30)"),
    (lambda: batches(1e-16, (2.0, 0.3), 30.0), "2.00 ± 0.30: farther beyond chance."),
    (lambda: batches(1e-3, (0.2, 0.05), 0.5), "over all batches is not that"),
    (lambda: batches(1e-3, (0.2, 0.05), 0.5), ": not farther beyond chance."),
    (lambda: gradients.ordered({"a": E(2.0, 0.1), "b": E(1.0, 0.1)}), "b 1.00 ± 0.10 < a 2.00 ± 0.10"),
    (lambda: gradients.slopes_told(SLOPES), "c neither grows nor falls"),
    (lambda: gradients.bias_told([]), "No estimator's"),
    (lambda: gradients.bias_told(["x", "y"]), "together: x, y."),
    (lambda: toy_ends((0.01, 0.0, 0.2, 1e-12)), "end at it within chance"),
    (lambda: toy_ends((0.01, 0.0, 0.2, 1e-12), far=1e-4), "end beyond chance away: reparameterised at x = 1"),
    (lambda: encoded(E(0.001, 0.0001), {"smallest of any datum": 1e-6}), "closes the gap to .01 nats"),
    (lambda: encoded(E(0.009, 0.001), {"smallest of any datum": -0.1}), "does not close the gap"),
    (lambda: encoded(E(0.009, 0.001), {"smallest of any datum": -0.1}), "Some gaps are negative"),
    (lambda: vdm.falls({10: IMAGE + 1.5, 30: IMAGE + 0.5 + OFF[0], 100: IMAGE}), "The bound falls with every T tried"),
    (lambda: vdm.falls({10: IMAGE + OFF[1], 30: IMAGE}), "From T = 10 to 30 the bound does not fall beyond chance"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_verdicts_follow_the_numbers():
    wrong = [(expected, text()) for text, expected in SAID if expected not in text()]
    assert wrong == []


def test_a_share_settles_after_its_last_departure():
    """.5 at once, .48 later, .52 at the end: near at first is not settled."""
    values = np.array([0.50, 0.49, 0.48, 0.51, 0.51])
    assert gmm_samples.settles_at(values, 0.02) == 3
    assert gmm_samples.settles_at(values, 0.1) == 0


def test_noise_images_are_counted():
    images = np.zeros((2, 10, 4, 4, 3))
    images[0, :3], images[1, 0], images[1, 1:] = 1.6, -1.6, 1.4
    images[0, 5, 0, 0, 0] = 7.0  # one value is no noise image
    assert ncsn.noise_images(images) == pytest.approx(4 / 20)
