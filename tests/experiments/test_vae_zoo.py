"""The comparison of autoencoders: a whole small run, its parts, its text, and what it refuses."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import findings_of, metrics_of

from experiments.kit.run import BadInput
from experiments.vae_zoo import measure_codes, report
from experiments.vae_zoo.code_prior import CodePrior
from experiments.vae_zoo.config import PRESETS, Config
from experiments.vae_zoo.data import load
from experiments.vae_zoo.gaussian import used_dimensions
from experiments.vae_zoo.measure import Measured, Result, difference, shown_codes
from experiments.vae_zoo.measure_codes import HeldOut, Plane
from experiments.vae_zoo.model import SC, VAE, VAMP, VQ, Usage
from experiments.vae_zoo.sc_vae import single_atoms, used_atoms
from experiments.vae_zoo.vq_vae import used_codes
from jaxgen.data import ImageDataset
from jaxgen.report import table

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


@pytest.mark.slow
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("VampPrior", "VQ-VAE", "SC-VAE", "perplexity", "Hoyer", "zeros", "scikit-learn"),
        "data.png loss.png reconstructions.png interpolation.png codes.png samples.png pseudo-inputs.png "
        "atoms.png traversal-vae.png traversal-vampprior.png",
    )
    rows = {row["model"]: row for row in metrics["models"]}
    assert set(rows) == {VAE, VAMP, VQ, SC}
    assert rows[SC][report.BITS] is None
    assert rows[SC][report.SAMPLES] is None
    # after six steps nothing is learned: 17 levels are worth log2 17 bits a number, or a little more
    for name in (VAE, VAMP, VQ):
        assert 1 < rows[name][report.BITS]["mean"] < 3 * np.log2(17), name
        # the estimate by several draws is on average at most the bound, which takes one
        assert rows[name][report.BITS]["mean"] <= rows[name][report.BOUND]["mean"], name


@pytest.mark.slow
def test_the_prior_over_indices_is_a_law_and_its_samples_follow_it():
    """The probabilities of all sequences sum to 1, and samples have them within their error."""
    prior = CodePrior(codes=3, width=4)
    everything = jnp.array(list(product(range(3), repeat=3)))
    params = prior.init(jax.random.key(0), everything[:1])
    params = jax.tree.map(lambda leaf: leaf + jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    p = np.exp(prior.log_prob(params, everything))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert p.max() > 3 * p.min()
    n = 20_000
    keys = jax.random.split(jax.random.key(1), n)
    drawn = prior.sample(params, keys, 3)
    share = np.bincount(np.asarray(drawn @ jnp.array([9, 3, 1])), minlength=27) / n
    np.testing.assert_array_less(np.abs(share - p), 4.5 * np.sqrt(p * (1 - p) / n) + 1e-4)
    np.testing.assert_array_equal(prior.sample(params, keys[5:6], 3)[0], drawn[5])  # depends on its key alone


def test_dsprites_are_drawn_as_many_as_asked_with_their_shapes():
    data = load(Config(embedded="dsprites", size=16, images=300))
    assert (data.source, data.levels) == ("dSprites", 256)
    assert 250 < len(data.train) + len(data.held_out) <= 300
    assert data.train.images.shape[1:] == (16, 16, 1)
    assert set(data.train.labels) == {0, 1, 2}


def test_digits_have_their_own_levels_unless_they_are_interpolated():
    data = load(Config())
    assert data.levels == 17
    assert len(np.unique(data.train.images)) == 17
    assert load(Config(size=12)).levels == 256


def test_what_is_used_of_a_code_is_counted():
    codes = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 0.2, 0.05]  # variances 1, 0.04 and 0.0025
    assert used_dimensions(codes) == Usage(2, 3)
    found = used_codes(np.array([[0, 1], [3, 3], [0, 1]]), 5)
    assert found[:2] == (3, 5)
    assert found.perplexity == pytest.approx(3, rel=1e-5)  # three codes, equally often
    z = np.zeros((2, 1, 2, 4), np.float32)
    z[0, 0, 0, 1], z[1, 0, 1, :2] = -3, 1  # one coefficient; two equal ones; and two codes of zeros
    found = used_atoms(z)
    assert found[:2] == (2, 4)
    assert found.zeros == 13 / 16
    assert found.hoyer == pytest.approx((1 + (2 - 2**0.5) + 1 + 1) / 4, rel=1e-5)


def test_codes_beside_and_between_those_of_images():
    a, b = np.arange(3.0), np.ones(3)
    line = measure_codes.between(a, b)
    np.testing.assert_array_equal(line[[0, 4, 8]], [a, (a + b) / 2, b])
    moved = measure_codes.along(a)
    assert moved.shape == (3, 9, 3)
    np.testing.assert_array_equal(moved[1, :, [0, 2]].T, np.tile(a[[0, 2]], (9, 1)))
    np.testing.assert_allclose(moved[1, :, 1], measure_codes.VALUES)
    z = np.zeros((5, 2, 2, 3), np.float32)
    z[4, 1, 1, 2] = -7
    atoms = single_atoms(z, 36)
    assert atoms.shape == (3, 2, 2, 3)
    np.testing.assert_array_equal(atoms[1], np.tile([0, 7, 0], (2, 2, 1)))


def test_the_plane_holds_the_first_two_principal_components():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    codes = rng.normal(size=(4000, 4)) * [3.0, 2.0, 1.0, 0.0] @ turn + 5
    plane = measure_codes.principal_plane(codes)
    np.testing.assert_allclose(plane.points.std(0), [1, 2 / 3], rtol=0.05)
    assert plane.share == pytest.approx(13 / 14, abs=0.01)
    line = measure_codes.principal_plane(codes[:, :1])  # codes of one dimension
    assert (line.points.shape, line.share) == ((4000, 2), pytest.approx(1))
    assert np.isfinite(measure_codes.principal_plane(np.ones((3, 2))).points).all()  # codes that are all alike


def test_at_most_seven_classes_are_shown():
    images = np.zeros((20, 2, 2, 1), np.float32)
    labels = np.arange(20) % 10
    rows, names, groups = shown_codes(ImageDataset(images, labels))
    assert list(names) == [*"0123456"]
    np.testing.assert_array_equal(labels[rows], groups)
    assert shown_codes(ImageDataset(images))[1:] == ((), None)


IMAGE = np.zeros((12, 2, 2, 1), np.float32)


def findings(bits=(0.0, 0.0), rate=0.0, vq=0.0, errors=(0.1, 0.2, 0.3, 0.4)):
    """The findings and the whole text on 100 images whose numbers differ by so much, with a little noise."""
    rng = np.random.default_rng(0)
    values = lambda mean: mean + 0.01 * rng.normal(size=100)
    usage = {VQ: Usage(4, 8, perplexity=3.0), SC: Usage(5, 8, zeros=0.5, hoyer=0.3)}
    history = {"loss": ([1, 2], [3.0, 2.0]), "eval/loss": ([1, 2], [3.0, 2.0])}

    def result(name, error, bits, rate, distance):
        plane, traversal = Plane(np.zeros((2, 2)), 0.5), IMAGE[None, :9] if name in (VAE, VAMP) else None
        of = HeldOut(IMAGE, values(error), None, usage.get(name, Usage(2, 3)), plane, IMAGE[:9], traversal, IMAGE)
        samples = None if distance is None else np.concatenate([IMAGE, IMAGE])
        return Result(history, of, bits, bits, rate, samples, distance, 2.0)

    models = {
        VAE: result(VAE, errors[0], values(bits[0]), values(5.0), 3.0),
        VAMP: result(VAMP, errors[1], values(bits[1]), values(5.0 + rate), 1.0),
        VQ: result(VQ, errors[2], values(vq), values(9.0), 2.0),
        SC: result(SC, errors[3], None, None, None),
    }
    measured = Measured(
        "drawn", 17, IMAGE, 500, IMAGE, 100, models,
        {name: difference(models[name], models[VAE]) for name in (VAMP, VQ)},
        sorted(models, key=lambda name: models[name].held_out.errors.mean()), [VAMP, VQ, VAE],
        IMAGE, IMAGE, (), None, 0.1, 24, "sprites",
    )  # fmt: skip
    tables = dict(zip(("likelihood", "quality", "usage"), map(table, report.rows(measured)), strict=True))
    return findings_of(report, Config(), measured, tables)


@pytest.mark.parametrize(
    ("numbers", "index", "text"),
    [
        ({"bits": (1.0, 0.5)}, 0, "a higher likelihood than the VAE does: its −log p minus the VAE's is −0.50"),
        ({"bits": (0.5, 1.0)}, 0, "a lower likelihood than the VAE does: its −log p minus the VAE's is +0.49"),
        ({}, 0, "differs from the VAE's within chance"),
        ({}, 0, "nats, within chance."),
        ({"rate": -1.0}, 0, "Its KL divergence minus the VAE's is −0.99"),
        ({"bits": (1.0, 1.0), "vq": 0.5}, 1, "the VQ-VAE assigns held-out images a higher likelihood than the VAE"),
        ({"bits": (0.5, 0.5), "vq": 1.0}, 1, "This does not decide which"),
        ({}, 1, "This does not decide which"),
        ({"errors": (0.3, 0.1, 0.2, 0.4)}, 2, "VampPrior reconstructs held-out images best."),
        ({"errors": (0.1, 0.1, 0.2, 0.3)}, 2, "have the smallest errors, and differ within chance."),
        ({}, 3, "The Fréchet distances are 1.00 (VampPrior), 2.00 (VQ-VAE), 3.00 (VAE); held-out images are at 0.100."),
        ({}, 4, "VQ-VAE: 4 of 8 codes, with a perplexity of 3.00. SC-VAE: 5 of 8 atoms, and 50 % of the entries"),
    ],
)
def test_the_findings_follow_the_numbers(numbers, index, text):
    assert text in findings(**numbers)[index]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 10}, "multiple of 4"),
        ({"size": 12, "halvings": 3}, "--halvings 3, a multiple of 8"),
        ({"halvings": 0}, "--halvings must be at least 1"),
        ({"blocks": -1}, "--blocks must be at least 0"),
        ({"penalty": 0.0}, "--penalty must be positive"),
        ({"sparsity": float("nan")}, "--sparsity must be finite and not below 0"),
        ({"codes": 1}, "--codes must be at least 2"),
        ({"embedded": "sprites"}, "with --size 16, not 8"),
        ({"embedded": "dsprites"}, "with --size 16 or 32 or 64, not 8"),
        ({"samples": 5}, "for the figures"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)


def test_a_single_held_out_image_is_refused(tmp_path):
    file = tmp_path / "images.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(BadInput, match="2 or more held-out images"):
        load(Config(data=file, batch_size=8))
