"""The controllable-generation experiment: a whole small run, its measures of fills on known laws, and refusals."""

import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import controllable
from experiments import controllable_classes as classes
from experiments import controllable_fills as fills
from jaxgen.diffusion import vp

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    controllable.main(replace(controllable.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "controllable").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("RePaint", "ΠGDM", "DPS", "held-out images", "Asked for a class"):
        assert words in page, words
    assert {file.name for file in (finished / "figures").iterdir()} == {
        "data.png", "loss.png", "fills-right-half.png", "fills-middle.png", "fills-4-x-pixels.png", "fills-colours.png",
        "classifier.png", "classes.png",
    }  # fmt: skip
    metrics = json.loads((finished / "metrics.json").read_text())
    found = {(row["question"], row["method"]): row for row in metrics["fills"]}
    assert len(found) == 4 * 4
    for (question, method), row in found.items():
        if method in ("projection", "RePaint"):  # put in place: exact whatever the network has learned
            assert row["observed part"][0] < 1e-5, (question, method)


@pytest.mark.parametrize("question", ["right half", "middle", "4 × pixels", "colours"])
def test_errors_of_draws_of_a_known_law(question):
    """A fill and the truth are independent N(0, .3² I), another fill is the truth; then both are a step off."""
    rng, shape, std = np.random.default_rng(0), (16, 16, 3), 0.3
    operator = fills.tasks(shape)[question].operator
    truth, other = (jnp.asarray(std * rng.normal(size=(400, *shape)), jnp.float32) for _ in range(2))
    drawn = np.stack([np.asarray(truth), np.asarray(other)])[::-1]
    found = fills.errors(operator, truth, drawn)
    # of two fills one is the truth itself: half the squares to the truth are 0, and the two differ by √2 std
    assert found.hidden.mean == pytest.approx(std, abs=4 * found.hidden.error)
    assert found.differ.mean == pytest.approx(2**0.5 * std, abs=4 * found.differ.error)
    assert found.spread == pytest.approx(2**0.5, rel=1e-3)
    moved = fills.errors(operator, truth, np.asarray(truth)[None].repeat(2, 0) + 0.1)
    step = float(jnp.abs(operator(jnp.full((1, *shape), 0.1))).max())
    assert moved.observed.mean == pytest.approx(step, rel=1e-4)
    # a shift of all colours alike is not all luminance: grey does not see what it leaves of a shift
    hidden = {"right half": 0.1, "middle": 0.1, "4 × pixels": 0.0, "colours": moved.hidden.mean}[question]
    assert moved.hidden.mean == pytest.approx(hidden, abs=1e-5)
    assert moved.differ.mean == pytest.approx(0, abs=1e-6)


def test_spread_of_posterior_draws_is_one():
    """Truth and fills alike are draws of one law, here of 8 × 8 unseen numbers of each image with its own mean."""
    rng, shape = np.random.default_rng(1), (16, 16, 3)
    mean = rng.normal(size=(300, *shape))
    truth, *drawn = (mean + 0.2 * rng.normal(size=mean.shape) for _ in range(5))
    found = fills.errors(fills.tasks(shape)["middle"].operator, np.float32(truth), np.float32(drawn))
    assert found.spread == pytest.approx(1, abs=0.01)
    too_sure = fills.errors(
        fills.tasks(shape)["middle"].operator, np.float32(truth), np.float32(mean + 0.5 * (np.array(drawn) - mean))
    )
    assert too_sure.spread == pytest.approx((2 * 0.25 / 1.25) ** 0.5, abs=0.01)


def test_the_classifier_of_noisy_images_reads_log_probabilities_at_a_scale_that_noise_leaves():
    net, process = classes.NoisyClassifier(3), vp()
    found = classes.Classifier(net, process, None, {})
    params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))
    x, t = jax.random.normal(jax.random.key(1), (4, 8, 8, 3)), jnp.array([0.05, 0.3, 0.6, 1.0])
    log_probs = found.log_probs(params, x, t)
    np.testing.assert_allclose(jnp.exp(log_probs).sum(-1), 1, rtol=1e-5)
    # vp keeps alpha² + sigma² = 1: nothing is scaled
    np.testing.assert_allclose(log_probs, net.apply(params, x, process.log_snr(t) / 8), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 18}, "multiple of 4"),
        ({"fills": 1}, "2 fills"),
        ({"calls": 9}, "two steps of --repeats 5"),
        ({"scales": (1.0,)}, "0 among them"),
        ({"step_size": 0.0}, "--step-size must be positive"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        controllable.Config(**changes)
