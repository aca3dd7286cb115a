"""The exercise on flows: a whole small run, its densities and counterexamples against mathematics, its refusals."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import findings_of, metrics_of

from experiments.flows import measure_exam, report
from experiments.flows.config import PRESETS, Config
from experiments.flows.data import Data
from experiments.flows.densities import densities
from experiments.flows.measure import Measured
from experiments.flows.measure_images import ImageResults
from experiments.flows.measure_plane import Plane, PlaneFlow
from experiments.flows.plane_flows import kinds
from experiments.flows.train_plane import slug
from experiments.kit.levels import as_images, as_integers, rounded
from jaxgen.data import ImageDataset
from jaxgen.metrics import MeanAndError

SMALL = replace(PRESETS["smoke"], progress=False)


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Good likelihood, noise for samples", "Good samples, poor likelihood", "Bits per dimension"),
        "densities.png draws.png loss.png samples-digits.png samples-sprites.png interpolation-digits.png "
        "interpolation-sprites.png exam.png",
    )
    assert len(metrics["gaps"]) == 10
    assert len(metrics["exam"]) == 3


@pytest.mark.parametrize("name", list(densities()))
def test_the_densities_are_normalised_and_those_of_their_draws(name):
    """A sum over fine cells, and E_p[u/p] = 1 of a density u that is uniform in a square."""
    of, n = densities()[name], 20_000
    side = 10 / 500
    axis = (np.arange(500) + 0.5) * side - 5
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)
    assert abs(np.exp(np.float64(of.log_density(grid))).sum() * side**2 - 1) < 1e-3
    x = np.asarray(of.sample(jax.random.key(0), n))
    inside = np.all(np.abs(x - [1.9, 0]) < 0.3, -1)
    weights = np.where(inside, np.exp(-np.float64(of.log_density(jnp.asarray(x)))) / 0.36, 0)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(n)


@pytest.mark.slow
def test_every_kind_of_flow_starts_as_the_standardised_gaussian():
    x = densities()["ring"].sample(jax.random.key(0), 50)
    exact = np.log(2 / 4) - 0.25 * np.square(np.asarray(x)).sum(-1) - np.log(2 * np.pi)
    for name, of in kinds(SMALL).items():
        params = of.init(jax.random.key(1))
        np.testing.assert_allclose(of.flow(params).log_density(x), exact, atol=1e-4, err_msg=name)
        assert of.loss(jax.random.key(2), params, x).shape == (50,)


def test_images_are_rounded_to_levels_and_back():
    values = np.linspace(-1, 1, 101)[:, None, None, None]
    for levels in (2, 32, 256):
        integers = as_integers(values, levels)
        assert integers.min() == 0
        assert integers.max() == levels - 1
        np.testing.assert_array_equal(as_integers(as_images(integers, levels), levels), integers)
        np.testing.assert_allclose(rounded(values, levels), values, atol=1.01 * 2 / levels)


class Uniform:
    """The density 1 of [0, 1]^d."""

    def log_density(self, y):
        return jnp.zeros(len(y))

    def sample(self, key, shape):
        return jax.random.uniform(key, shape)


def test_the_counterexamples_have_the_likelihoods_of_the_argument(monkeypatch):
    """With a flow of twice the noise's log-density per dimension, the mixture costs log₂ 100/dims bits, no more."""
    rng = np.random.default_rng(0)
    images = as_images(rng.integers(0, 4, (60, 4, 4, 1)), 4)
    data = Data(ImageDataset(images[:40]), ImageDataset(images[40:]), 4)
    monkeypatch.setattr(measure_exam, "draw", lambda config, data, model, t, n: data.train.images[:n])
    monkeypatch.setattr(measure_exam, "_bound", lambda key, density, params, images, levels: density(params)(images))
    monkeypatch.setattr(measure_exam, "diagonal_mixture", lambda gaussian: Memory())
    model = SimpleNamespace(flow=lambda params: lambda images: np.full(len(images), -8 * np.log(4)), params=None)
    distance = lambda samples: float(np.mean(samples))
    found = measure_exam.exam(
        replace(SMALL, compared=20, levels=4), data, model, with_floor(distance), {"fixed": distance}
    )
    np.testing.assert_allclose(found.flow.bits.mean, 1.0)
    np.testing.assert_allclose(found.cost.mean, np.log2(100) / 16, rtol=1e-3)
    np.testing.assert_allclose(found.largest_cost, np.log2(100) / 16)
    np.testing.assert_allclose(found.memory.bits.mean, 50 / 16 / np.log(2))
    assert found.uniform == 2
    assert found.memory.fixed["fixed"] == pytest.approx(found.memory.frechet)
    assert found.noise_shown >= 15


class Memory:
    """A stand-in for the memory of images."""

    def __call__(self, images):
        return np.full(len(images), -50.0)

    def sample(self, key, shape):
        return np.full(shape, 0.6)


def with_floor(distance):
    class Distance:
        floor = 0.5

        def __call__(self, samples):
            return distance(samples)

    return Distance()


def measured(gap, mixture_frechet):
    """Results that are made up."""
    flow = PlaneFlow(np.ones((4, 4)), np.zeros((3, 2)), MeanAndError(gap, 0.01), 1.0, 1e-5, 10.0, 5, "4")
    bits = MeanAndError(1.0, 0.1)
    image = ImageResults(768, 5.0, bits, bits, bits, *(np.zeros((2, 4, 4, 1)),) * 3, 10)
    judged = lambda name, value, frechet: measure_exam.Judged(
        name, MeanAndError(value, 0.01), frechet, {}, np.zeros(20)
    )
    exam = measure_exam.Exam(
        judged("flow", 1.0, 5.0), judged("mixture", 1.01, mixture_frechet), judged("memory", 9.0, 0.5),
        MeanAndError(0.0086, 1e-5), 0.00865, 0.4, 5.0, 19,
    )  # fmt: skip
    truth = Plane(np.ones((4, 4)), np.zeros((3, 2)), MeanAndError(2.0, 0.01))
    each = {"spline coupling": flow, "affine coupling": flow._replace(gap=MeanAndError(0.2, 0.01))}
    reached = ["spline coupling"] if gap < 0.05 else []
    missed = [name for name in each if name not in reached]
    return Measured(
        {"eight Gaussians": truth, "ring": truth}, {"ring": each, "eight Gaussians": each}, reached, missed, 0.05,
        {"digits": image, "sprites": image}, {}, exam, 0.9,
    )  # fmt: skip


def test_the_findings_say_what_was_measured():
    tables = dict.fromkeys(("gaps", "bits", "counterexamples"), report.table([{"a": 1}]))
    plane, *_, noise, memory = findings_of(report, Config(), measured(0.01, 50.0), tables)
    assert "Within 0.05 nats of the entropy of both densities: spline coupling" in plane
    assert "Not within 0.05 nats: affine coupling" in plane
    assert "99 % is noise" in noise.replace("\u202f", " ").replace("\xa0", " ").replace("99%", "99 %")
    assert "more than the 5.00 of pure noise" in memory
    plane, *_ = findings_of(report, Config(), measured(0.1, 50.0), tables)
    assert "Not within 0.05 nats: spline coupling and affine coupling" in plane


def test_names_are_parts_of_paths():
    assert slug("continuous, by likelihood") == "continuous-by-likelihood"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 300}, "--levels must be at most 256"),
        ({"scales": 4}, "divisible by 2 to the power of --scales"),
        ({"noise_share": 1.0}, "--noise-share must lie between 0 and 1"),
        ({"temperatures": (0.0,)}, r"--temperatures must lie in \(0, 2\]"),
        ({"plane_steps": 0}, "--plane-steps must be at least 1"),
        ({"compared": 2}, "--compared must be at least 16"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
