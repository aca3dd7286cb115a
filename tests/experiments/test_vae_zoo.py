"""The comparison of autoencoders: a whole small run, the prior over indices, its sentences, and refusals."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import metrics_of

from experiments import vae_zoo
from experiments import vae_zoo_report as figures
from experiments.vae_zoo_models import SC, VAE, VAMP, VQ, CodePrior

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("VampPrior", "VQ-VAE", "SC-VAE", "perplexity", "Hoyer", "zeros"),
        "data.png loss.png reconstructions.png interpolation.png codes.png samples.png pseudo-inputs.png "
        "atoms.png traversal-vae.png traversal-vampprior.png",
    )
    rows = {row["model"]: row for row in metrics["models"]}
    assert set(rows) == {VAE, VAMP, VQ, SC}
    assert rows[SC][figures.BITS] is None
    # after six steps nothing is learned: 17 levels are worth log2 17 bits a number, or a little more
    for name in (VAE, VAMP, VQ):
        assert 1 < rows[name][figures.BITS]["mean"] < 3 * np.log2(17), name


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
    drawn = prior.sample(params, jax.random.key(1), n, 3)
    share = np.bincount(np.asarray(drawn @ jnp.array([9, 3, 1])), minlength=27) / n
    np.testing.assert_array_less(np.abs(share - p), 4.5 * np.sqrt(p * (1 - p) / n) + 1e-4)


def test_dsprites_are_drawn_as_many_as_asked_with_their_shapes():
    config = vae_zoo.Config(embedded="dsprites", size=16, images=300)
    train_set, test_set, where = vae_zoo.read(config)
    assert where == "dSprites"
    assert 250 < len(train_set) + len(test_set) <= 300
    assert train_set.images.shape[1:] == (16, 16, 1)
    assert set(train_set.labels) == {0, 1, 2}
