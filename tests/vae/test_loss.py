"""The objective's variants against their formulas, written over the whole batch, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ppca import PPCA

from jaxgen.distributions import Gaussian, diagonal_mixture
from jaxgen.vae import elbo, vae_loss

KEY = jax.random.key(0)
LAW = PPCA()
X = jnp.asarray(LAW.sample(6), jnp.float32)


def model(params):
    """An encoder with two parameters: where its mean lies, and how wide it is in each dimension."""
    encode = lambda x: Gaussian(LAW.encode(x).mean + params["shift"], LAW.encode(x).std * jnp.exp(params["log"]))
    return LAW.model()._replace(encode=encode)


WEIGHTS = "beta", "capacity", "free_bits"
PARAMS = {"shift": jnp.array([0.4, -0.1]), "log": jnp.array([0.2, 0.5])}

OBJECTIVES = {
    "plain": ({}, lambda r, kl: r.mean() + kl.sum(-1).mean()),
    "beta": ({"beta": 4.0}, lambda r, kl: r.mean() + 4 * kl.sum(-1).mean()),
    "low": ({"beta": 30.0, "capacity": 9.0}, lambda r, kl: r.mean() + 30 * jnp.abs(kl.sum(-1).mean() - 9)),
    "high": ({"beta": 30.0, "capacity": 0.5}, lambda r, kl: r.mean() + 30 * jnp.abs(kl.sum(-1).mean() - 0.5)),
    "all_free": ({"free_bits": 5.0}, lambda r, kl: r.mean() + jnp.maximum(kl.mean(0), 5.0).sum()),
    "some_free": ({"free_bits": 0.6, "beta": 2.0}, lambda r, kl: r.mean() + 2 * jnp.maximum(kl.mean(0), 0.6).sum()),
    "none_free": ({"free_bits": 0.001}, lambda r, kl: r.mean() + jnp.maximum(kl.mean(0), 0.001).sum()),
}


def test_the_mean_and_its_gradient_are_the_objectives():
    """Free bits above every KL leave no gradient of it, since the formula has none; metrics carry no weights."""

    def every(params):
        found = elbo(KEY, model(params), X)
        return {name: formula(found.reconstruction, found.kl_terms) for name, (_, formula) in OBJECTIVES.items()}

    def ours(params):
        return {name: vae_loss(KEY, model(params), X, **options)[0].mean() for name, (options, _) in OBJECTIVES.items()}

    pairs = jax.jit(lambda p: [(f(p), jax.jacrev(f)(p)) for f in (ours, every)])(PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), *pairs)
    found = elbo(KEY, model(PARAMS), X)
    kl = np.asarray(found.kl_terms).mean(0)
    assert kl.min() < 0.6 < kl.max()
    assert 0.5 < kl.sum() < 9
    losses, metrics = vae_loss(KEY, model(PARAMS), X, beta=30.0, capacity=9.0)
    assert losses.shape == (6,)
    assert metrics.keys() == {"reconstruction", "kl"}
    np.testing.assert_allclose(metrics["reconstruction"], found.reconstruction, rtol=1e-6)
    np.testing.assert_allclose(metrics["kl"], found.kl, rtol=1e-6)


@pytest.mark.slow
def test_at_beta_1_it_is_minus_the_elbo_also_where_a_monte_carlo_kl_is_negative():
    prior = diagonal_mixture(Gaussian(jnp.zeros((1, 2)), jnp.full((), 0.3)))
    vamp = LAW.model()._replace(prior=prior)
    found = elbo(KEY, vamp, X)
    wide = vamp._replace(prior=diagonal_mixture(LAW.encode(X)))
    assert np.any(np.asarray(elbo(KEY, wide, X).kl) < 0)
    np.testing.assert_allclose(vae_loss(KEY, vamp, X)[0], -found.value, rtol=1e-6)
    np.testing.assert_allclose(vae_loss(KEY, wide, X)[0], -elbo(KEY, wide, X).value, rtol=1e-6)


def test_free_bits_of_a_monte_carlo_kl_are_for_all_dimensions_together():
    kl = elbo(KEY, LAW.model(), X, kl="monte_carlo").kl
    mean = float(np.asarray(kl).mean())
    for free_bits in (0.5 * mean, 1.5 * mean):
        losses, metrics = vae_loss(KEY, LAW.model(), X, kl="monte_carlo", free_bits=free_bits)
        expected = np.asarray(metrics["reconstruction"]).mean() + max(mean, free_bits)
        np.testing.assert_allclose(losses.mean(), expected, rtol=1e-5)


def test_schedules_do_not_recompile():
    """β and capacity warmed up by optax, from 0, inside one compiled step."""
    beta, capacity = optax.linear_schedule(0.0, 4.0, 10), optax.linear_schedule(0.0, 25.0, 10)
    traces = []

    @jax.jit
    def losses(step):
        traces.append(step)
        return (
            vae_loss(KEY, LAW.model(), X, beta=beta(step))[0],
            vae_loss(KEY, LAW.model(), X, beta=30.0, capacity=capacity(step))[0],
        )

    found = elbo(KEY, LAW.model(), X)
    r, kl = np.asarray(found.reconstruction), np.asarray(found.kl)
    for step in (0, 5, 20):
        share = min(step / 10, 1)
        by_beta, by_capacity = losses(step)
        np.testing.assert_allclose(by_beta, r + 4 * share * kl, rtol=1e-5)
        np.testing.assert_allclose(by_capacity.mean(), r.mean() + 30 * abs(kl.mean() - 25 * share), rtol=1e-5)
    assert len(traces) == 1


def test_refusals(unchecked):
    cases = [({name: bad}, f"{name} must be finite and not negative") for name in WEIGHTS for bad in (-0.1, np.nan)]
    cases += [({"capacity": 1.0, "free_bits": 0.1}, "either a capacity or free bits"), ({"kl": "exact"}, "unknown kl")]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            vae_loss(KEY, LAW.model(), X, **options)
    with pytest.raises(ValueError, match="data must be floating point, got uint8"):
        vae_loss(KEY, LAW.model(), jnp.uint8(X))
