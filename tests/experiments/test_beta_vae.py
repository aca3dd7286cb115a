"""The β-VAE exercise: a whole small run, its codes and trends on known cases, and refusals."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from shown import metrics_of

from experiments.beta_vae import measure_codes, measure_scores, report
from experiments.beta_vae.config import PRESETS, Config
from experiments.beta_vae.data import load
from experiments.beta_vae.measure import Measured
from experiments.beta_vae.measure_scores import Trend
from experiments.kit.autoencoder import Autoencoder, Trained
from experiments.kit.run import BadInput
from jaxgen.data import DSprites
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.metrics import MeanAndError
from jaxgen.report import table
from jaxgen.report.template import render_template
from jaxgen.training import History

pytestmark = pytest.mark.filterwarnings("ignore:The least populated class")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("MIG (Locatello)", "MIG (Chen)", "The price", "modularity", "Only a part of the positions in y"),
        "data.png loss.png reconstructions.png samples.png mig.png traversal-1.png traversal-20.png positions.png "
        "codes.png",
    )
    assert {beta: len(of) for beta, of in metrics["scores"].items()} == {"1": 2, "20": 2}


class Halves(nn.Module):
    """An encoder whose code is the share of the image's lower half that is on, and that of its right half."""

    std: tuple[float, float]

    def __call__(self, x):
        mean = jnp.stack([x[:, 32:].mean((1, 2, 3)), x[:, :, 32:].mean((1, 2, 3))], axis=-1)
        return Gaussian(mean, jnp.broadcast_to(jnp.asarray(self.std), mean.shape))


class Uniform(nn.Module):
    """A decoder of images that are all of one logit, the sum of the code."""

    def __call__(self, z):
        return jnp.broadcast_to(z.sum(-1)[:, None, None, None], (len(z), 64, 64, 1))


MODEL = Trained(Autoencoder(Halves((0.5, 0.1)), Uniform()), {"encoder": {}, "decoder": {}}, History([]))


def test_codes_are_those_of_the_images_and_their_kl_is_the_closed_form():
    images = DSprites().subset(scale=5, orientation=0, x=slice(None, None, 4), y=slice(None, None, 4))
    codes = measure_codes.encode(MODEL, images)
    x = images.images(images.codes)[..., 0] / 255
    np.testing.assert_allclose(codes.mean, np.stack([x[:, 32:].mean((1, 2)), x[:, :, 32:].mean((1, 2))], -1), rtol=1e-4)
    both = gaussian_kl(Gaussian(jnp.asarray(codes.mean), jnp.asarray(codes.std)), Gaussian(jnp.zeros(2), jnp.ones(2)))
    assert codes.kl.sum() == pytest.approx(float(both.mean()), rel=1e-4)
    # the sharper dimension has more information
    np.testing.assert_array_equal(codes.order, [1, 0])


def test_pictures_show_each_dimension_moved_and_the_code_at_each_position():
    data = load(Config(size=64, orientation_stride=20, x_stride=8))
    found = measure_codes.pictures(MODEL, data)
    code = measure_codes.encode(MODEL, data.held_out.take(slice(1))).mean[0]
    logits = np.log(found.traversal / (1 - found.traversal))[..., 0, 0, 0]
    # dimension 1 has the most KL, so it is moved in the first row while dimension 0 is kept, and the other way round
    np.testing.assert_allclose(logits, measure_codes.VALUES + code[:, None], rtol=1e-3, atol=1e-4)
    assert found.samples.shape == found.reconstructions.shape == (12, 64, 64, 1)
    assert found.by_position.shape == (2, 16, 32)
    right, lower = found.by_position
    assert right[0, -1] > right[0, 0]  # x grows to the right
    assert lower[-1, 0] > lower[0, 0]  # y grows downwards
    np.testing.assert_allclose(right, np.broadcast_to(right[:1], right.shape), atol=5e-3)
    assert found.points.shape == (3 * 32 * 16 / 2, 2)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.1, 0.2, 0.3), (1, True)),
        ((0.1, 0.1, 0.3), (1, False)),
        ((0.3, 0.2, 0.1), (-1, True)),
        ((0.1, 0.3, 0.1), (0, False)),
    ],
)
def test_a_trend_is_beyond_chance_over_the_seeds(means, expected):
    jitter = np.array([[0.0, 0.01, 0.005], [0.005, 0.008, 0.006], [0.004, 0.011, 0.002]])
    values = dict(zip(("1", "8", "20"), jitter + np.array(means)[:, None], strict=True))
    assert measure_scores.trend(values) == expected


def test_the_findings_follow_the_numbers():
    names = measure_scores.Scores._fields
    trends = dict.fromkeys(names, Trend(0, False)) | {"mig": Trend(1, True), "kl": Trend(-1, False)}
    pictures = SimpleNamespace(kl=np.zeros(10))
    given = dict.fromkeys(Measured._fields, 1.0) | {
        "classes": {"x": 4}, "real": np.zeros(60), "scores": {"1": [], "8": []}, "trends": trends,
        "means": {name: {"1": MeanAndError(0.5, 0.1), "8": MeanAndError(0.7, 0.1)} for name in names},
        "pictures": {"1": pictures, "8": pictures},
    }  # fmt: skip
    shown = ("data", "loss", "reconstructions", "samples", "mig", "positions", "codes", "traversal-1", "traversal-8")
    rendered = render_template(
        Path(report.__file__).with_name("report.md").read_text(),
        figures=dict.fromkeys(shown, Figure()),
        tables=dict.fromkeys(("scores", "costs", "factors"), table([{"β": 1}])),
        values={"config": PRESETS["paper"], **given},
    )
    locatello, chen, price = (Markup(finding).striptags() for finding in rendered.findings)
    assert "rises from each β to the next: 0.50 ± 0.10 at β = 1, 0.70 ± 0.10 at β = 8." in locatello
    assert "does not change from the smallest β to the largest beyond chance" in chen
    assert "KL divergence falls from the smallest β to the largest, though not from each to the next" in price
    text = " ".join(section.body for section in rendered.sections)
    assert "Only a part of the positions" not in text  # all are used
    assert "cross-entropy" not in text  # pixels are binary


def test_the_last_orientation_is_left_out_where_it_would_be_the_first_again():
    data = load(Config(orientation_stride=13))
    kept = np.unique(np.concatenate([data.train.factors, data.held_out.factors])[:, 3])
    np.testing.assert_array_equal(kept, [0, 13, 26])
    assert len(data.train) + len(data.held_out) == 3 * 6 * 3 * 16 * 16
    assert not set(data.train.index) & set(data.held_out.index)


def file_of(images, path):
    """A part of dSprites in the format of the published file."""
    np.savez(path, imgs=images.images(images.codes)[..., 0] // 255, latents_classes=images.factors)
    return path


def test_images_of_a_file_are_encoded_as_rendered_ones(tmp_path):
    images = DSprites().subset(shape=[0, 2], orientation=[0, 20], x=[0, 8, 16, 24], y=slice(14, 18))
    config = replace(PRESETS["smoke"], size=64)
    ours = load(replace(config, data=file_of(images, tmp_path / "part.npz"))).train
    rendered = DSprites(ours.index)
    np.testing.assert_allclose(
        measure_codes.encode(MODEL, ours).mean, measure_codes.encode(MODEL, rendered).mean, atol=1e-3
    )


def test_too_few_images_are_refused_before_training(tmp_path):
    with pytest.raises(BadInput, match="smaller strides"):
        load(Config(orientation_stride=20, x_stride=31, y_classes=(0, 2)))
    file = file_of(DSprites().subset(scale=3, orientation=[0, 20], y=slice(14, 18)), tmp_path / "part.npz")
    with pytest.raises(BadInput, match=r"two classes of every factor, and \['scale'\] have one"):
        load(replace(PRESETS["smoke"], data=file, held_out=0.3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betas": (8.0, 1.0)}, "ascending"),
        ({"betas": (1.0,)}, "two or more"),
        ({"betas": (1.0, float("inf"))}, "ascending"),
        ({"betas": (float("nan"), 1.0)}, "ascending"),
        ({"betas": (1.0, 1.0000001)}, "--betas must differ within six digits"),
        ({"seeds": 1}, "--seeds must be at least 2 for an error bar"),
        ({"latents": 1}, "for a gap"),
        ({"x_stride": 32}, "two classes"),
        ({"orientation_stride": 39}, "two classes"),
        ({"y_classes": (3, 4)}, "two classes"),
        ({"held_out": 0.0}, "--held-out"),
        ({"clip": -1.0}, "--clip must be at least 0"),
    ],
)
def test_bad_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)


@pytest.mark.parametrize("beta", [1e-5, 0.5, 20.0, 1e6])
def test_the_figure_of_any_beta_has_a_plain_name(beta):
    assert set(report.traversal_name(f"{beta:g}")) <= set("traversal-0123456789e")
