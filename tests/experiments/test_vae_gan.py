"""VAE against GAN: a whole small run, its discriminators against known laws, its verdicts, and what it refuses."""

import gzip
import struct
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from shown import findings_of, metrics_of

from experiments.kit import launch
from experiments.kit.run import BadInput
from experiments.vae_gan import __main__ as vae_gan
from experiments.vae_gan import draw, report
from experiments.vae_gan.config import PRESETS, Config
from experiments.vae_gan.data import load, quantised
from experiments.vae_gan.discriminator import Discriminator, Pair, calibrating_slope, folds
from experiments.vae_gan.draw import GAN, MEANS, REAL, RECONSTRUCTIONS, SAMPLES
from experiments.vae_gan.measure import Measured
from experiments.vae_gan.measure_distances import Distances
from experiments.vae_gan.measure_own import Own
from experiments.vae_gan.measure_tests import LINEAR, NOISY, OWN_KIND, discrimination
from jaxgen.distributions import Gaussian
from jaxgen.metrics import ConfidenceInterval, MeanAndError, TwoSampleTest
from jaxgen.nets import MLPCritic

SMALL = PRESETS["smoke"]
SETS = (REAL, RECONSTRUCTIONS, MEANS, SAMPLES, GAN)

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


@pytest.mark.slow
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("A fresh discriminator", "own discriminator", "Fréchet distance", "kernel distance", "precision", "rendered"),
        "real.png loss.png gan.png means.png samples.png reconstructions.png interpolations.png nearest.png "
        "accuracies.png scores.png",
    )
    assert set(metrics["distances"]) == set(SETS)
    for of in metrics["discriminators"].values():
        assert set(of) == set(SETS)
        for found in of.values():
            assert len(found["accuracies"]) == SMALL.repetitions
            assert found["accuracy"]["low"] <= found["accuracy"]["mean"] <= found["accuracy"]["high"]


@pytest.mark.slow
def test_mnists_files_are_read(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (300, 28, 28), np.uint8), (np.arange(300) % 10).astype(np.uint8)
    for name, array in zip(("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"), arrays, strict=True):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (tmp_path / name).write_bytes(gzip.compress(header + array.tobytes()))
    flags = ["--preset", "smoke", "--no-progress", "--data", tmp_path, "--size", "28", "--runs", tmp_path / "runs"]
    monkeypatch.setattr(sys, "argv", ["vae_gan", *map(str, flags)])
    launch.run(vae_gan.main, vae_gan.PRESETS)
    (page,) = (tmp_path / "runs").glob("vae_gan/*/report.html")
    assert "this data&#39;s labels" in page.read_text() or "this data's labels" in page.read_text()


# -- discriminators ----------------------------------------------------------------------------------------------------


def gaussian_fold(shift, n=1500, seed=0):
    """N(0, 1) against N(shift, 1) in the first of four pixels, and alike in the others."""
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(2, 3 * n, 2, 2, 1)).astype(np.float32)
    fake[:, 0, 0, 0] += shift
    return folds(real, fake, 3, 0)


LINEAR_CRITIC = Discriminator("linear", MLPCritic(()), 0.0, 400, 64, 1e-2)


def test_a_fresh_discriminator_finds_the_best_accuracy_and_the_divergence_of_gaussians():
    """N(0, 1) and N(1, 1): accuracy Φ(½), AUC Φ(1/√2), JSD .11142."""
    found = LINEAR_CRITIC.test(0, gaussian_fold(-1.0))
    error = 4.5 * 0.5 / 3000**0.5
    assert found.accuracy == pytest.approx(norm.cdf(0.5), abs=error)
    assert found.auc == pytest.approx(norm.cdf(0.5**0.5), abs=error)
    assert abs(found.jsd_bound.mean - 0.11142) < 4.5 * found.jsd_bound.error + 0.005


def test_without_a_difference_it_is_within_chance():
    found = LINEAR_CRITIC.test(0, gaussian_fold(0.0))
    assert found.accuracy == pytest.approx(0.5, abs=4.5 * 0.5 / 3000**0.5)
    assert abs(found.jsd_bound.mean) < 0.005


def test_under_noise_it_finds_the_best_accuracy_of_noised_images():
    """Noise of variance 3 makes of the distance 2 a distance of 1: accuracy Φ(½)."""
    found = LINEAR_CRITIC._replace(noise=3**0.5).test(0, gaussian_fold(-2.0))
    assert found.accuracy == pytest.approx(norm.cdf(0.5), abs=4.5 * 0.5 / 3000**0.5)


def test_parts_are_disjoint_and_an_image_lies_with_its_reconstruction():
    real = np.arange(11.0).reshape(11, 1)
    tested = []
    for index in range(3):
        fold = folds(real, -real, 3, index)
        parts = [set(part.real[:, 0]) for part in fold]
        assert [len(part) for part in parts] == [3, 3, 3]
        assert len(set.union(*parts)) == 9
        for part in fold:
            np.testing.assert_array_equal(part.real, -part.fake)
        tested += fold.test.real[:, 0].tolist()
    assert sorted(tested) == list(range(9))  # every image once; the surplus is left out
    assert [len(part.real) for part in folds(real, real, 5, 4)] == [6, 2, 2]


def test_logits_that_are_too_sure_are_calibrated():
    """log p/q of N(1, 1) and N(0, 1) is x − ½; threefold logits need the slope ⅓, and others are left."""
    rng = np.random.default_rng(0)
    true = Pair(*(rng.normal(mean, size=20_000) - 0.5 for mean in (1, 0)))
    assert calibrating_slope(Pair(*(3 * of for of in true))) == pytest.approx(1 / 3, abs=0.02)
    assert calibrating_slope(Pair(*(of / 2 for of in true))) == pytest.approx(1, abs=1e-3)
    assert calibrating_slope(Pair(*(-of for of in true))) == pytest.approx(0, abs=1e-3)


# -- images ------------------------------------------------------------------------------------------------------------


def test_values_are_rounded_to_levels():
    found = quantised(np.array([-3.0, -1.0, -0.6, -0.2, 0.2, 0.6, 2.0]), 4)
    np.testing.assert_allclose(found, [-1, -1, -1 / 3, -1 / 3, 1 / 3, 1 / 3, 1], atol=1e-6)
    assert len(np.unique(quantised(np.linspace(-1, 1, 999), 16))) == 16


def test_samples_of_x_have_the_means_and_the_spread_of_their_law():
    """A decoder that ignores its code: the samples are logistic with standard deviation s π/√3."""
    decoder = SimpleNamespace(apply=lambda params, z: Gaussian(jnp.full((len(z), 3), 0.3), jnp.full((len(z), 3), 0.1)))
    nets = SimpleNamespace(vae=SimpleNamespace(decoder=decoder))
    keys = jax.random.split(jax.random.key(0), 20_000)
    means, samples = draw.vae_samples(nets, 2, {"decoder": None}, keys, None)
    np.testing.assert_array_equal(means, np.full((20_000, 3), 0.3, np.float32))
    std = 0.1 * np.pi / 3**0.5
    np.testing.assert_allclose(samples.mean(0), 0.3, atol=4.5 * std / 20_000**0.5)
    np.testing.assert_allclose(samples.std(0), std, rtol=0.04)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.035


def test_great_circles_keep_to_likely_latents():
    a, b = np.asarray(jax.random.normal(jax.random.key(0), (2, 3, 64)))
    z = np.asarray(draw.great_circles(a, b, 5))
    np.testing.assert_allclose(z[:, 0], a, atol=1e-5)
    np.testing.assert_allclose(z[:, -1], b, atol=1e-5)
    lengths = np.linalg.norm(z, axis=-1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[:, 0], lengths[:, -1], 5, axis=1), rtol=1e-5)
    turned = np.sum(z[:, 1:] * z[:, :-1], -1) / (lengths[:, 1:] * lengths[:, :-1])
    np.testing.assert_allclose(turned, np.tile(turned[:, :1], 4), atol=1e-5)  # equal angles


def test_digits_are_rounded_and_models_never_see_those_held_out():
    data = load(replace(SMALL, embedded="digits", levels=17))
    assert len(np.unique(data.train.images)) == 17
    seen = {image.tobytes() for image in data.train.images}
    assert not any(image.tobytes() in seen for image in data.held_out.images)
    rendered = load(replace(SMALL, levels=3))
    np.testing.assert_array_equal(np.unique(rendered.train.images), [-1, 0, 1])


# -- what is said ------------------------------------------------------------------------------------------------------


def test_the_gans_own_discriminator_is_summed_up():
    own = Own(np.array([[1.0, -1.0], [1.0, 1.0]]), {GAN: np.array([[-1.0, 1.0], [-1.0, -1.0]])})
    np.testing.assert_allclose(own.tests[GAN].accuracies, [0.5, 1.0])
    assert own.called_real["held-out images"].mean == 0.75
    assert own.called_real[GAN].mean == 0.25


IMAGE = np.zeros((12, 8, 8, 1), np.float32)


def accuracies(mean, images=4000):
    """The results of four repetitions whose accuracies lie about a mean."""
    tests = [
        TwoSampleTest(mean + shift, ConfidenceInterval(0, 1), 0.0, mean + shift, MeanAndError(0.1, 0.01))
        for shift in (-0.003, 0.001, 0.004, -0.002)
    ]
    return discrimination(tests, images)


def findings(fresh=(0.7, 0.8, 0.9), noisy=(0.6, 0.65, 0.7), own=(0.55, 0.6, 0.65), real=0.5, frechet=(1, 2, 3)):
    """The findings where the GAN, the VAE's decoder means and its samples of x have these numbers."""

    def numbers(values):
        others = {REAL: real, RECONSTRUCTIONS: 0.75}
        return {
            name: accuracies(mean)
            for name, mean in (others | dict(zip((GAN, MEANS, SAMPLES), values, strict=True))).items()
        }

    spread = np.array([0.99, 1.0, 1.02, 1.0])
    others = {REAL: 0.1, RECONSTRUCTIONS: 0.5} | dict(zip((GAN, MEANS, SAMPLES), frechet, strict=True))
    values = Measured._make([None] * len(Measured._fields))._replace(
        source="drawn", number=4000, train_count=6000, real=IMAGE,
        parameters=dict.fromkeys(("decoder", "generator", "critic"), 9),
        tests={OWN_KIND: numbers(fresh), NOISY: numbers(noisy), LINEAR: numbers(noisy)},
        own=SimpleNamespace(tests=numbers(own), called_real={
            name: of.accuracy for name, of in (numbers(own) | {"held-out images": accuracies(0.5)}).items()
        }),
        distances={name: Distances(*[value * spread] * 5) for name, value in others.items()},
        nearest_real=0.1, classifier_accuracy=0.99, trained_on="sprites",
    )  # fmt: skip
    return findings_of(report, Config(), values, {"everything": report.table(report.all_rows(values))})


@pytest.mark.parametrize(
    ("numbers", "index", "text"),
    [
        ({}, 0, "tells the VAE&#39;s samples of x from real images more easily."),
        ({}, 0, "more easily than the GAN&#39;s."),
        ({"fresh": (0.8, 0.7, 0.7)}, 0, "tells the GAN&#39;s images from real images more easily."),
        ({"fresh": (0.8, 0.7, 0.7)}, 0, "less easily than the GAN&#39;s."),
        ({"fresh": (0.8, 0.8, 0.8)}, 0, "tells the images of both models from real ones equally well, within chance."),
        ({}, 1, "would have said that the VAE&#39;s samples of x are easier to tell"),
        ({"own": (0.6, 0.5, 0.5)}, 1, "would have said that the GAN&#39;s images are easier to tell"),
        ({"own": (0.6, 0.5, 0.6)}, 1, "that both are equally hard to tell, within chance"),
        ({}, 1, "overrates its generator"),
        ({"own": (0.9, 0.5, 0.5)}, 1, "tells the GAN&#39;s images less well"),
        ({"own": (0.7, 0.5, 0.5)}, 1, "does about as well on the GAN&#39;s images"),
        ({}, 2, "which is within chance of ½"),
        ({"real": 0.6}, 2, "which is not within chance of ½"),
        ({}, 3, "The verdict on the GAN and the samples of x is the same."),
        ({"noisy": (0.8, 0.7, 0.7)}, 3, "is another: the GAN&#39;s images are told more easily."),
        ({"fresh": (0.99, 0.99, 0.99)}, 3, "almost always right on both models, so noise must rank them"),
        ({}, 4, "The Fréchet distance agrees with the fresh discriminator"),
        ({"frechet": (3, 2, 1)}, 4, "by the distance, the samples of x are better."),
    ],
)
def test_the_findings_follow_the_numbers(numbers, index, text):
    found = findings(**numbers)[index].replace("’", "'").replace("'", "&#39;")
    assert text in found


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetitions": 2}, "--repetitions must be at least 3 for intervals"),
        ({"compared": 20}, "--compared must be at least 32 with --repetitions 4"),
        ({"levels": 1}, "--levels must be at least 2"),
        ({"levels": 300}, "--levels must be at most 256"),
        ({"size": 9}, "--size must be even and at least 8"),
        ({"held_out": 1.0}, "--held-out is a share between 0 and 1"),
        ({"gamma": -1.0}, "--gamma must be finite and not below 0"),
        ({"gan_learning_rate": 0.0}, "--gan-learning-rate must be positive"),
        ({"discriminator_steps": 19}, "--discriminator-steps must be at least 20 to be evaluated 20 times"),
        ({"embedded": "digits"}, "--embedded digits have 8 × 8 pixels, not 16: add --size 8"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 40}, "too few for --repetitions 3: give at least 24 of each"),
        ({"gan_batch_size": 300}, "--gan-batch-size 300 exceeds the 226 training images"),
    ],
)
def test_too_few_images_are_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        load(replace(SMALL, **changes))
