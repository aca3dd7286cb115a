"""ISTA and its kin against scikit-learn's Lasso, and measures of sparsity."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow
from sklearn.linear_model import Lasso

from jaxgen.distributions import Gaussian, likelihoods
from jaxgen.vae import sc_vae_loss, sparse

N, M, PENALTY = 8, 20, 0.3
RNG = np.random.default_rng(0)
DICTIONARY = RNG.standard_normal((N, M)) / np.sqrt(N)
X = RNG.standard_normal((5, N))
D32, X32 = jnp.asarray(DICTIONARY, jnp.float32), jnp.asarray(X, jnp.float32)
C = np.linalg.eigvalsh(DICTIONARY.T @ DICTIONARY)[-1]


def objective(z, penalty=PENALTY):
    """½‖x − Dz‖² + λ‖z‖₁ in float64 of numpy."""
    z = np.float64(z)
    return 0.5 * ((X - z @ DICTIONARY.T) ** 2).sum(-1) + (penalty * np.abs(z)).sum(-1)


def lasso_of_sklearn(penalty=PENALTY):
    """Its objective is ours over n: alpha = λ/n."""
    model = Lasso(alpha=penalty / N, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    return np.stack([model.fit(DICTIONARY, x).coef_.copy() for x in X])


def test_soft_threshold_is_the_proximal_map():
    """argmin_z ½(z − x)² + θ|z|, on a grid."""
    grid = np.linspace(-4, 4, 80_001)
    for x in (-2.0, -0.5, 0.0, 0.3, 1.7):
        exact = grid[np.argmin(0.5 * (grid - x) ** 2 + 0.7 * np.abs(grid))]
        np.testing.assert_allclose(sparse.soft_threshold(jnp.asarray(x), 0.7), exact, atol=2e-4)


def test_objective_and_step_size_are_numpys():
    z = RNG.standard_normal((5, M))
    np.testing.assert_allclose(sparse.lasso(X32, D32, jnp.asarray(z, jnp.float32), PENALTY), objective(z), rtol=1e-5)
    each = RNG.uniform(0.1, 1, M)
    found = sparse.lasso(X32, D32, jnp.asarray(z, jnp.float32), jnp.asarray(each, jnp.float32))
    np.testing.assert_allclose(found, objective(z, each), rtol=1e-5)
    for dictionary in (DICTIONARY, DICTIONARY.T):
        exact = np.linalg.norm(dictionary, 2) ** 2
        np.testing.assert_allclose(sparse.lipschitz(jnp.asarray(dictionary, jnp.float32)), exact, rtol=1e-5)


@pytest.mark.parametrize("solve", [slow(sparse.ista), sparse.fista])  # ISTA by day is C4.12
@pytest.mark.parametrize("penalty", [slow(0.05), 0.3, slow(1.0)])
def test_it_converges_to_the_lasso_of_scikit_learn(solve, penalty):
    with jax.enable_x64(True):
        found = jax.jit(lambda x, d: solve(x, d, penalty, steps=20_000))(X, DICTIONARY)
    np.testing.assert_allclose(found, lasso_of_sklearn(penalty), atol=1e-6)
    single = jax.jit(lambda x, d: solve(x, d, penalty, steps=3000))(X32, D32)
    np.testing.assert_allclose(objective(single, penalty), objective(found, penalty), rtol=1e-3)


def test_a_penalty_for_each_atom_is_that_of_atoms_scaled():
    """λ_j |z_j| with atoms d_j is λ |y_j| with y_j = z_j λ_j/λ and atoms d_j λ/λ_j."""
    each = RNG.uniform(0.1, 1, M)
    with jax.enable_x64(True):
        x, dictionary = jnp.asarray(X), jnp.asarray(DICTIONARY)
        found = sparse.ista(x, dictionary, each, steps=20_000)
        scaled = sparse.fista(x, dictionary * (PENALTY / each), PENALTY, steps=20_000)
    np.testing.assert_allclose(found, np.asarray(scaled) * PENALTY / each, atol=1e-5)


def test_momentum_is_faster():
    best = objective(lasso_of_sklearn(0.05), 0.05)
    with jax.enable_x64(True):
        x, dictionary = jnp.asarray(X), jnp.asarray(DICTIONARY)
        plain, fast = (objective(solve(x, dictionary, 0.05, steps=60), 0.05) for solve in (sparse.ista, sparse.fista))
        bound = 2 * C * (lasso_of_sklearn(0.05) ** 2).sum(-1) / 61**2  # Beck & Teboulle 2009, theorem 4.4
    assert np.all(fast - best < bound)
    assert np.all(fast - best < 0.5 * (plain - best))


def test_a_start_is_gone_on_from_and_a_larger_c_is_slower():
    five = sparse.ista(X32, D32, PENALTY, steps=5)
    whole = sparse.ista(X32, D32, PENALTY, steps=12)
    np.testing.assert_allclose(sparse.ista(X32, D32, PENALTY, steps=7, start=five), whole, atol=1e-5)
    np.testing.assert_array_equal(sparse.ista(X32, D32, PENALTY, steps=0), jnp.zeros((5, M)))
    slow = sparse.ista(X32, D32, PENALTY, steps=5, c=3 * C)
    assert np.all(objective(slow) > objective(five))


def test_unlearned_lista_is_ista():
    params = sparse.init_lista(D32, PENALTY)
    for steps in (0, 3):
        found = sparse.lista(params, X32, steps=steps)
        np.testing.assert_allclose(found, sparse.ista(X32, D32, PENALTY, steps=steps), atol=2e-5)
    with jax.enable_x64(True):
        params = sparse.init_lista(jnp.asarray(DICTIONARY), PENALTY)
        np.testing.assert_allclose(sparse.lista(params, jnp.asarray(X), steps=20_000), lasso_of_sklearn(), atol=1e-6)


@pytest.mark.slow
def test_learned_lista_is_better_than_ista_of_as_many_steps():
    """Trained on the objective of fresh data of the same kind, 3 steps come closer to the Lasso than 3 of ISTA."""
    steps, optimiser = 3, optax.adam(2e-3)

    @jax.jit
    def step(params, state, key):
        x = jax.random.normal(key, (128, N))
        loss = lambda params: sparse.lasso(x, D32, sparse.lista(params, x, steps=steps), PENALTY).mean()
        gradients = jax.grad(loss)(params)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(params, updates), state

    params = sparse.init_lista(D32, PENALTY)
    state = optimiser.init(params)
    for i in range(300):
        params, state = step(params, state, jax.random.key(i))
    x = jax.random.normal(jax.random.key(1000), (500, N))
    best, plain, learned = (
        float(sparse.lasso(x, D32, z, PENALTY).mean())
        for z in (
            sparse.fista(x, D32, PENALTY, steps=2000),
            sparse.ista(x, D32, PENALTY, steps=steps),
            sparse.lista(params, x, steps=steps),
        )
    )
    assert best < learned < plain
    assert learned - best < 0.6 * (plain - best)


@pytest.mark.slow
def test_gradients_flow_through_the_unrolled_steps():
    """To dictionary and encodings, against finite differences in float64; none through the default c."""
    with jax.enable_x64(True):
        weight = RNG.standard_normal((5, M))
        value = lambda x, d: (weight * sparse.ista(x, d, PENALTY, steps=6, c=2 * C)).sum()
        by_x, by_d = jax.grad(value, (0, 1))(jnp.asarray(X), jnp.asarray(DICTIONARY))
        for i, gradient in enumerate((by_x, by_d)):
            along = RNG.standard_normal(gradient.shape)
            move = lambda h, i=i, along=along: value(
                *(jnp.asarray(a + h * along if i == j else a) for j, a in enumerate((X, DICTIONARY)))
            )
            np.testing.assert_allclose((gradient * along).sum(), (move(1e-6) - move(-1e-6)) / 2e-6, rtol=1e-5)
        default = jax.grad(lambda d: sparse.lipschitz(d))(jnp.asarray(DICTIONARY))
        np.testing.assert_array_equal(default, np.zeros_like(DICTIONARY))


@pytest.mark.slow
def test_sparsity_of_known_codes():
    codes = jnp.array([[0, 0, 3.0, 0], [1, -1, 1, -1], [0, 0, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_allclose(sparse.zero_fraction(codes), [0.75, 0, 1, 0.5])
    expected = [1, 0, 1, (2 - np.sqrt(2)) / (2 - 1)]
    for size in (1.0, 1e-30, 1e30):
        np.testing.assert_allclose(sparse.hoyer(size * codes), expected, atol=1e-6)
    z = RNG.standard_normal((6, 9))
    exact = (3 - np.abs(z).sum(-1) / np.sqrt((z**2).sum(-1))) / (3 - 1)
    np.testing.assert_allclose(sparse.hoyer(jnp.asarray(z, jnp.float32)), exact, rtol=1e-5)
    assert np.all(np.isfinite(jax.jacobian(sparse.hoyer)(codes)))


def test_unit_atoms_have_length_1_and_a_zero_atom_stays():
    found = np.asarray(sparse.unit_atoms(D32.at[:, 3].set(0.0)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), np.arange(M) != 3, rtol=1e-5)
    np.testing.assert_allclose(found[:, 5] / found[0, 5], DICTIONARY[:, 5] / DICTIONARY[0, 5], rtol=1e-5)
    gradient = jax.grad(lambda d: sparse.unit_atoms(d)[0].sum())(D32.at[:, 3].set(0.0))
    assert np.all(np.isfinite(gradient))


def sc_vae(x, **options):
    """Encodings (3, 2, N) are given linearly; the mean of x is half the rebuilt ones."""
    encode = lambda x: x.reshape(len(x), 2, N)
    code = lambda e: sparse.ista(e, D32, PENALTY, steps=8)
    decode = lambda e: Gaussian(0.5 * e.reshape(len(e), -1), jnp.asarray(0.7))
    return sc_vae_loss(encode, code, D32, decode, x, likelihood=likelihoods.gaussian(), **options)


def test_the_sc_vae_loss_is_its_three_terms():
    x = jnp.asarray(RNG.standard_normal((3, 2 * N)), jnp.float32)
    e = np.float64(x).reshape(3, 2, N)
    z = np.float64(sparse.ista(jnp.asarray(e, jnp.float32), D32, PENALTY, steps=8))
    rebuilt = z @ DICTIONARY.T
    mean = 0.5 * rebuilt.reshape(3, -1)
    reconstruction = (0.5 * ((np.float64(x) - mean) / 0.7) ** 2 + np.log(0.7) + 0.5 * np.log(2 * np.pi)).sum(-1)
    latent, size = ((e - rebuilt) ** 2).sum(-1).mean(-1), np.abs(z).sum(-1).mean(-1)
    for options, w, s in (({}, 1, 0), ({"latent_weight": 3.0, "sparsity": 0.2}, 3, 0.2)):
        losses, metrics, found = sc_vae(x, **options)
        np.testing.assert_allclose(losses, reconstruction + w * latent + s * size, rtol=1e-4)
        np.testing.assert_allclose(metrics["reconstruction"], reconstruction, rtol=1e-4)
        np.testing.assert_allclose(metrics["latent"], latent, rtol=1e-4)
        np.testing.assert_allclose(metrics["zero_fraction"], (z == 0).mean((1, 2)), rtol=1e-6)
        np.testing.assert_allclose(found, z, atol=1e-5)


def test_refusals(unchecked):
    misfit = partial(sc_vae_loss, lambda x: x, lambda e: e, likelihood=lambda x, y: x.sum(-1))
    cases = {
        "steps must be at least 0": [lambda: sparse.lista(sparse.init_lista(D32, PENALTY), X32, steps=-1)],
        "penalty must be positive": [lambda: sparse.init_lista(D32, 0.0)],
        "descend for c >=": [lambda: sparse.init_lista(D32, PENALTY, c=0.9 * C)],
        "at least two entries": [lambda: sparse.hoyer(jnp.ones((3, 1)))],
        r"one entry for each atom, \(5, 20\), got \(5, 8\)": [lambda: misfit(D32, lambda e: e, X32)],
        r"a dictionary for x \(…, 8\) has shape \(8, m\)": [],
        "penalty must be finite and not negative": [],
    }
    for solve in (sparse.ista, sparse.fista):
        cases[r"a dictionary for x \(…, 8\) has shape \(8, m\)"].append(partial(solve, X32, D32.T, PENALTY, steps=1))
        cases["steps must be at least 0"].append(partial(solve, X32, D32, PENALTY, steps=-1))
        cases["penalty must be finite and not negative"].append(partial(solve, X32, D32, -0.1, steps=1))
        cases["descend for c >="].append(partial(solve, X32, D32, PENALTY, steps=1, c=0.9 * C))
    for message, refused in cases.items():
        for refuse in refused:
            with pytest.raises(ValueError, match=message):
                refuse()
