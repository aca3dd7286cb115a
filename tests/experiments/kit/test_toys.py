"""What the toys share: the small trainer, Langevin dynamics on any score, and the comparison with a mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from experiments.kit import toy_sampling as sampling
from experiments.kit.call_counting import Counter
from experiments.kit.toy_training import ScoreNet, Training, initial
from experiments.ncsn_toy.chain_law import expected_shares
from jaxgen.distributions import GaussianMixture, random_mixture, song_ermon_mixture

N = 4000
STANDARD = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])


def test_training_finds_the_least_of_a_quadratic_and_follows_it():
    def loss(key, params, target):
        return (params - target + 0.1 * jax.random.normal(key, (64,))) ** 2

    train = Training(
        loss, steps=995, learning_rate=0.05, points=10, follow=lambda params, target: {"gap": params - target}
    )
    fit = train(jax.random.key(0), jnp.float32(0.0), jnp.float32(2.0))
    assert fit.steps[-1] == 995
    assert set(np.diff(fit.steps, prepend=0)) == {99, 100}
    np.testing.assert_allclose(fit.params, 2.0, atol=5 * 0.1 / 8)
    assert fit.followed["gap"][-1] == fit.params - 2
    np.testing.assert_allclose(fit.followed["loss"][-1], 0.01, rtol=0.1)  # the noise's own variance
    other = train(jax.random.key(0), jnp.float32(0.0), jnp.float32(-1.0))
    np.testing.assert_allclose(other.params, -1.0, atol=5 * 0.1 / 8)


def test_training_takes_as_many_steps_as_are_asked_for():
    counter = Counter()
    train = Training(counter.around(lambda key, params: params**2 * jnp.ones(1)), steps=7, learning_rate=0.1, points=3)
    assert train(jax.random.key(0), jnp.float32(1.0)).steps.tolist() == [2, 5, 7]
    assert counter.calls == 7


@pytest.mark.slow
def test_the_score_network_is_scaled_by_sigma():
    """Far above the data's size only the ratio x/σ enters but for ln σ, whose weight is taken out here."""
    net = ScoreNet(16, spread=1e-3)
    params = initial(net, jax.random.key(0))
    kernel = params["params"]["Dense_0"]["kernel"].at[2].set(0.0)
    params = {"params": params["params"] | {"Dense_0": params["params"]["Dense_0"] | {"kernel": kernel}}}
    x = jax.random.normal(jax.random.key(1), (5, 2))
    np.testing.assert_allclose(net.apply(params, 7 * x, 7.0), net.apply(params, x, 1.0) / 7, rtol=1e-4)
    each = net.apply(params, x, jnp.arange(1.0, 6))
    np.testing.assert_allclose(each[3], net.apply(params, x[3:4], 4.0)[0], rtol=1e-5)


def test_a_walk_without_noise_is_the_euler_flow_of_the_score():
    start = jnp.array([[1.0, -2.0], [3.0, 0.5]])
    path = sampling.walk(lambda x: -x, jax.random.key(0), start, step_size=0.2, steps=30, frames=3, noise_scale=0.0)
    for i, steps in enumerate((0, 10, 20, 30)):
        np.testing.assert_allclose(path[i], 0.9**steps * start, rtol=1e-4)


def test_a_walk_has_the_variance_of_its_step():
    """x ← x − ε/2 x + √ε z rests at the variance 1/(1 − ε/4)."""
    x = sampling.walk(lambda x: -x, jax.random.key(0), jnp.zeros((N, 2)), step_size=0.4, steps=100)[-1]
    np.testing.assert_allclose(x.var(), 1 / 0.9, rtol=5 * np.sqrt(2 / (2 * N)))
    np.testing.assert_allclose(x.mean(0), 0, atol=5 / np.sqrt(N))


@pytest.mark.slow
def test_annealing_follows_the_recursion_of_its_variance():
    """On N(0, s² I): v ← (1 − ε_i/2(s² + σ_i²))² v + ε_i, T times at every level, ε_i = ε σ_i²/σ_L²."""
    s, sigmas, steps, epsilon = 0.5, np.array([8.0, 2.0, 0.5]), 7, 0.05
    exact = sampling.exact_score(GaussianMixture(np.ones(1), np.zeros((1, 2)), s**2 * np.eye(2)[None]))
    start = sampling.uniform_starts(jax.random.key(1), N, 4.0)
    path = sampling.anneal(exact, jax.random.key(0), start, sigmas, step_size=epsilon, steps=steps)
    assert path.shape == (4, N, 2)
    v = 16 / 3
    np.testing.assert_allclose(path[0].var(), v, rtol=0.05)
    for i, sigma in enumerate(sigmas):
        step = epsilon * (sigma / sigmas[-1]) ** 2
        for _ in range(steps):
            v = (1 - step / (2 * (s**2 + sigma**2))) ** 2 * v + step
        np.testing.assert_allclose(path[i + 1].var(), v, rtol=5 * np.sqrt(2 / (2 * N)))


@pytest.mark.slow
def test_the_mmd_and_its_floor_are_those_of_gaussians():
    """E k(x, x′) = b²/(b² + 2) for x, x′ ~ N(0, I₂), times exp(−δ²/2(b² + 2)) for means δ apart."""
    compare = sampling.MixtureComparison(STANDARD, 1000, jax.random.key(0), draws=20)
    b = np.array(sampling.BANDWIDTHS)
    alike = np.mean(b**2 / (b**2 + 2))
    expected = np.sqrt((1 / 1000 + 1 / 3000) * (1 - alike))
    np.testing.assert_allclose(compare.floor, expected, rtol=0.25)
    shift = np.array([1.5, 0.0])
    apart = np.mean(b**2 / (b**2 + 2) * np.exp(-(shift @ shift) / (2 * (b**2 + 2))))
    found = compare.mmd(STANDARD.sample(jax.random.key(5), 1000) + shift)
    np.testing.assert_allclose(found**2, 2 * (alike - apart) + expected**2, rtol=0.1)
    assert np.isnan(compare.mmd(np.full((5, 2), np.nan)))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_comparison_finds_weight_and_width(sigma):
    mixture = random_mixture(0)
    compare = sampling.MixtureComparison(mixture, 500, jax.random.key(0), draws=2)
    found = compare(mixture.perturbed(1.0, sigma).sample(jax.random.key(1), N))
    weight = float(mixture.weights[0])
    assert abs(found.weight - weight) < 5 * np.sqrt(weight * (1 - weight) / N)
    np.testing.assert_allclose(found.width, sampling.true_widths(mixture, sigma), rtol=0.05)
    assert sampling.true_widths(mixture, 0.0) == 1


@pytest.mark.slow
def test_exact_scores_are_those_of_the_noised_mixture():
    mixture = song_ermon_mixture()
    x = jnp.array([[1.0, 2.0], [-4.0, 0.0], [9.0, 9.0]])
    sigmas = jnp.array([0.5, 3.0, 20.0])
    found = sampling.exact_score(mixture)(x, sigmas)
    for i, sigma in enumerate(sigmas):
        gradient = jax.grad(lambda x, sigma=sigma: mixture.perturbed(1.0, sigma).log_density(x))(x[i])
        np.testing.assert_allclose(found[i], gradient, rtol=1e-4, atol=1e-6)


def test_chains_in_law_come_to_the_share_of_the_level():
    """At σ = 3 and ε = .05 σ² many steps lead to q's own share, but for the step's own bias of ε/4v; few do not."""
    mixture = song_ermon_mixture()
    level = [(3.0, 0.45)]
    v, distance = 10 / (1 - 0.45 / 40), np.sqrt(50)  # in a single mode
    of_q = 0.8 * norm.cdf(distance / np.sqrt(v)) + 0.2 * norm.cdf(-distance / np.sqrt(v))
    found = expected_shares(mixture, level, 6000, 8.0)
    assert found[0] == pytest.approx(0.5)
    assert found[1] == pytest.approx(of_q, abs=2e-3)
    assert expected_shares(mixture, level, 10, 8.0)[1] < of_q - 0.05


@pytest.mark.slow
def test_chains_in_law_do_one_step_as_chains_do():
    """One step of ε from U[−8, 8]²: the starts' share moved by the score and blurred, by a million draws."""
    mixture, n = song_ermon_mixture(), 1_000_000
    x = sampling.uniform_starts(jax.random.key(0), n, 8.0)
    x = x + 2.0 * mixture.perturbed(1.0, 4.0).score(x) + 2.0 * jax.random.normal(jax.random.key(1), x.shape)
    share = float(np.mean(x.sum(-1) > 0))
    assert expected_shares(mixture, [(4.0, 4.0)], 1, 8.0)[1] == pytest.approx(share, abs=4 * 0.5 / np.sqrt(n))


def test_shares_outside_the_square_are_named_from_half_a_percent_on():
    x = np.zeros((1000, 2))
    x[:5, 1], few = -3.0, np.zeros((1000, 2))
    few[:4] = 3.0
    assert sampling.outside({"a": x, "b": few, "c": 0 * x}, 2.0) == {"a": 0.005}


def test_the_square_holds_the_mixture():
    for seed in range(5):
        mixture = random_mixture(seed)
        x = np.asarray(mixture.sample(jax.random.key(0), N))
        assert np.mean(np.abs(x) < sampling.half_width(mixture)) > 0.999
