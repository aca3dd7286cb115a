"""The β-VAE experiment: a whole small run, its codes and sentences on known cases, and refusals."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from shown import metrics_of

from experiments import beta_vae
from experiments import beta_vae_report as figures
from experiments.autoencoder import Autoencoder, Trained
from jaxgen.data import DSprites
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.training import History

pytestmark = pytest.mark.filterwarnings("ignore:The least populated class")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("MIG (Locatello)", "MIG (Chen)", "The price", "modularity"),
        "data.png loss.png reconstructions.png samples.png mig.png traversal-1.png traversal-20.png positions.png "
        "codes.png",
    )
    assert {beta: len(of) for beta, of in metrics["scores"].items()} == {"1": 2, "20": 2}


def seeing(std):
    """A model whose code is the share of the image's lower half that is on, and that of its right half."""

    def encode(params, x):
        mean = jnp.stack([x[:, 32:].mean((1, 2, 3)), x[:, :, 32:].mean((1, 2, 3))], axis=-1)
        return Gaussian(mean, jnp.broadcast_to(jnp.asarray(std), mean.shape))

    return Trained(Autoencoder(SimpleNamespace(apply=encode), None), {"encoder": None}, History([]))


def test_codes_are_those_of_the_images_and_their_kl_is_the_closed_form():
    images = DSprites().subset(scale=5, orientation=0, x=slice(None, None, 4), y=slice(None, None, 4))
    codes = figures.encode(seeing([0.5, 0.1]), images)
    x = images.images(images.codes)[..., 0] / 255
    np.testing.assert_allclose(codes.mean, np.stack([x[:, 32:].mean((1, 2)), x[:, :, 32:].mean((1, 2))], -1), rtol=1e-4)
    both = gaussian_kl(Gaussian(jnp.asarray(codes.mean), jnp.asarray(codes.std)), Gaussian(jnp.zeros(2), jnp.ones(2)))
    assert codes.kl.sum() == pytest.approx(float(both.mean()), rel=1e-4)
    # the sharper dimension holds more
    np.testing.assert_array_equal(codes.order, [1, 0])


def scores(**values):
    base = dict.fromkeys(figures.Scores._fields, 0.0)
    return figures.Scores(**(base | values))


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.1, 0.2, 0.3), "rises with β at every step"),
        ((0.1, 0.1, 0.3), "rises from the first β to the last, though not at every step"),
        ((0.3, 0.2, 0.1), "falls with β at every step"),
        ((0.1, 0.3, 0.1), "does not change from the first β to the last beyond chance"),
    ],
)
def test_course_is_told_by_the_seeds(means, expected):
    jitter = np.array([[0.0, 0.01, 0.005], [0.005, 0.008, 0.006], [0.004, 0.011, 0.002]])
    values = dict(zip((1.0, 8.0, 20.0), jitter + np.array(means)[:, None], strict=True))
    assert figures.course(values) == expected
    found = figures.findings({beta: [scores(mig=v) for v in of] for beta, of in values.items()})
    assert found[0].startswith(f"**{figures.MIG}** {expected}:")


def test_the_last_orientation_is_left_out_where_it_would_be_the_first_again():
    config = beta_vae.Config(orientation_stride=13)
    train_set, test_set = beta_vae.load(config)
    kept = np.unique(np.concatenate([train_set.factors, test_set.factors])[:, 3])
    np.testing.assert_array_equal(kept, [0, 13, 26])
    assert len(train_set) + len(test_set) == 3 * 6 * 3 * 16 * 16
    assert not set(train_set.index) & set(test_set.index)


def test_too_few_images_are_refused_before_training():
    with pytest.raises(ValueError, match="smaller strides"):
        beta_vae.load(beta_vae.Config(orientation_stride=20, x_stride=31, y_classes=(0, 2)))
