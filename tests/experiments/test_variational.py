"""The exercise on variational inference: a whole small run, its parts against mathematics, its refusals."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from shown import metrics_of

from experiments.variational import measure_ascents, measure_gradients, measure_minibatches, measure_posteriors
from experiments.variational import measure_toy as toy
from experiments.variational.config import PRESETS, Config
from experiments.variational.encoders import Encoders
from experiments.variational.mixture import PRIOR_VARIANCE, mixture_log_evidence, mixture_rows, natural_elbo
from experiments.variational.problems import MIXTURE, NORMAL_GAMMA, PRIOR, problems
from jaxgen.metrics import mean_and_error
from jaxgen.variational import bayesian_mixture, linear_gaussian, normal_gamma


@pytest.fixture(autouse=True)
def x64():
    """As in the experiment."""
    with jax.enable_x64(True):
        yield


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        (
            "away from it beyond chance",
            "never lowered the ELBO",
            "narrower than the posterior in every variable",
            "No gap is negative",
        ),
        "bounds.png posteriors.png minibatches.png draws.png theta.png toy.png amortisation.png",
    )
    assert [row["model"] for row in metrics["ascents"]] == ["Normal–Gamma", "mixture"]
    assert all(row["gap of coordinate ascent"] > 0 for row in metrics["ascents"])
    assert len(metrics["gradients"]) == 7
    assert all(abs(row["bias of the ELBO"]) < 1e-12 for row in metrics["batches"])


# -- helpers against mathematics ---------------------------------------------------------------------------------------


def test_the_mixtures_evidence_is_the_sum_over_all_assignments():
    x = mixture_rows(np.random.default_rng(0), 7, 2.5)
    terms = []
    for c in itertools.product(range(2), repeat=7):
        total = -7 * np.log(2)
        for k in range(2):
            rows = np.asarray(x)[np.array(c) == k, 0]
            if len(rows):
                law = stats.multivariate_normal(np.zeros(len(rows)), np.eye(len(rows)) + PRIOR_VARIANCE)
                total += law.logpdf(rows)
        terms.append(total)
    np.testing.assert_allclose(mixture_log_evidence(x), np.logaddexp.reduce(terms), rtol=1e-10)


@pytest.mark.slow
def test_the_mixtures_evidence_is_exact_for_narrow_posteriors():
    """With the most data allowed, and components eight deviations apart: the mean field lacks log 2 and no more."""
    x = mixture_rows(np.random.default_rng(0), 200, 8.0)
    q = bayesian_mixture.from_natural(x, bayesian_mixture.Natural(jnp.ones(2), jnp.array([[-4.0], [4.0]])))
    for _ in range(50):
        q = bayesian_mixture.update_assignments(x, bayesian_mixture.update_means(PRIOR_VARIANCE, x, q))
    elbo = float(bayesian_mixture.elbo(PRIOR_VARIANCE, x, q))
    assert 0 < mixture_log_evidence(x) - elbo - np.log(2) < 0.01


def test_moments_of_a_correlated_gaussian():
    covariance = np.array([[2.0, -0.9], [-0.9, 0.7]])
    law = stats.multivariate_normal([1.0, -2.0], covariance)
    found = measure_posteriors.moments(law.logpdf, np.array([-12.0, -10.0]), np.array([14.0, 6.0]))
    np.testing.assert_allclose(found.mean, [1, -2], atol=1e-9)
    np.testing.assert_allclose(found.std, np.sqrt(np.diag(covariance)), rtol=1e-8)
    np.testing.assert_allclose(found.correlation, -0.9 / np.sqrt(1.4), rtol=1e-8)


@pytest.fixture(scope="module")
def compared():
    """Coordinate ascent on both models, and the widths of their posteriors and mean fields."""
    with jax.enable_x64(True):
        config = replace(Config(), starts=4, sweeps=100, passes=1, seeds=2)
        models = problems(config)
        found = measure_ascents.ascents(config, models)
        optima = {name: of.optimum for name, of in found.items()}
        return models, found, measure_posteriors.posteriors(models, optima)


@pytest.mark.slow
def test_exact_and_mean_field_widths(compared):
    """The Normal–Gamma's are those of a Student's μ and a Gamma's τ; two Gaussians lose √(1 − ρ²)."""
    models, found, posteriors = compared
    law, q = normal_gamma.posterior(PRIOR, models[NORMAL_GAMMA].x), found[NORMAL_GAMMA].optimum
    student = stats.t(2 * law.shape, law.mean, np.sqrt(law.rate / law.shape / law.strength))
    exact, ours = posteriors[NORMAL_GAMMA].exact.std, posteriors[NORMAL_GAMMA].mean_field.std
    np.testing.assert_allclose(exact, [student.std(), stats.gamma(law.shape, scale=1 / law.rate).std()], rtol=1e-4)
    np.testing.assert_allclose(
        ours, [float(q.precision) ** -0.5, stats.gamma(q.shape, scale=1 / q.rate).std()], rtol=1e-4
    )
    linear = posteriors[measure_posteriors.LINEAR_GAUSSIAN]
    np.testing.assert_allclose(linear.ratio, np.sqrt(1 - linear.exact.correlation**2), rtol=1e-5)
    # two modes that mirror each other: both means have one law, and half of it is the mode of q
    first, second = posteriors[MIXTURE].exact.std
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert (posteriors[measure_posteriors.OWN_MODE].exact.std < first).all()
    assert all((of.ratio < 1).all() for of in posteriors.values())


@pytest.mark.slow
def test_c2_2_coordinate_ascent_in_the_experiment(compared):
    _, found, _ = compared
    assert all(of.largest_fall == 0 for of in found.values())
    assert sum(of.updates for of in found.values()) == 1600
    assert 0 < found[NORMAL_GAMMA].best_gap < 0.1
    assert found[MIXTURE].best_gap > np.log(2)


def test_a_fall_of_the_bound_counts_beyond_rounding():
    def ascents(*elbo):
        return measure_ascents.Ascents(0.0, np.array([elbo]), np.zeros((2, 1)), 1.0, None)

    assert ascents(-3.0, -2.0, -2.0 - 1e-14).largest_fall == 0
    assert ascents(-3.0, -2.0, -2.5, -1.0).largest_fall == pytest.approx(0.2)
    assert ascents(-3.0, -2.0, -1.5, -1.4999).sweeps_needed == 1.0


@pytest.mark.slow
def test_the_exact_gradient_and_its_draws():
    """−Λ(m − m*) in the means and 1 − Λ_ii s_i² in the log-stds, and 0 at the optimum; the estimators' mean is it."""
    weight, std = measure_posteriors.LINEAR.weight, measure_posteriors.LINEAR.std
    precision = np.eye(2) + weight.T @ weight / std**2
    best = np.linalg.solve(precision, weight.T @ measure_posteriors.SEEN[0]) / std**2
    states = measure_gradients.states()
    np.testing.assert_allclose(
        measure_gradients.exact_gradient(states["prior"]), [*(precision @ best), *(1 - np.diag(precision))], rtol=1e-10
    )
    np.testing.assert_allclose(measure_gradients.exact_gradient(states["optimum"]), 0, atol=1e-12)
    found = measure_gradients.drawn([*measure_gradients.OF_ELBO], states["prior"], 4, 3000, 0)
    for name, draws in found.items():
        assert draws.shape == (3000, 4)
        assert measure_gradients.in_errors(draws - measure_gradients.exact_gradient(states["prior"])) < 4.5, name


def test_total_variance_and_largest_bias():
    draws = np.random.default_rng(0).normal([1.0, 0.0], [1.0, 2.0], (20_000, 2))
    found = mean_and_error(measure_gradients.squared_deviations(draws))
    assert abs(found.mean - 5) < 4 * found.error
    np.testing.assert_allclose(found.mean, draws.var(0, ddof=1).sum(), rtol=1e-9)
    np.testing.assert_allclose(found.error, np.sqrt((2 + 2 * 16) / 20_000), rtol=0.05)
    assert 100 < measure_gradients.in_errors(draws) < 180  # √20,000 = 141
    assert measure_gradients.in_errors(measure_gradients.off_by(np.full((5, 2), 3.0), np.full(2, 3.0 + 1e-12))) == 0


@pytest.mark.slow
def test_batches_estimate_the_elbo_without_bias():
    """C2.3 for natural parameters: the mean over the batches is the ELBO; and the KL part is in every one of them."""
    x = mixture_rows(np.random.default_rng(1), 60, 2.5)
    natural = bayesian_mixture.Natural(jnp.array([2.0, 3.0]), jnp.array([[-1.0], [4.0]]))
    for size in (1, 10, 60):
        found = measure_minibatches.batch_bounds(x, natural, size)
        assert found.shape == (60 // size,)
        np.testing.assert_allclose(found.mean(), natural_elbo(x, natural), rtol=1e-12)
    means, variances = np.array([-0.5, 4 / 3]), np.array([1 / 2, 1 / 3])
    kl = 0.5 * np.sum((means**2 + variances) / 4 - 1 - np.log(variances / 4))
    np.testing.assert_allclose(natural_elbo(x[:0], natural), -kl, rtol=1e-12)


@pytest.mark.slow
def test_encoders_least_gap_is_reached_and_not_beaten():
    drawn = Encoders.draw(np.random.default_rng(0), 200, 5, 3)
    off = np.asarray(drawn.x) - drawn.model.offset
    precision = np.asarray(linear_gaussian.precision(drawn.model))
    best = np.linalg.lstsq(off, np.asarray(linear_gaussian.posterior(drawn.model, drawn.x).mean), rcond=None)[0]
    log_std = -0.5 * np.log(np.diag(precision))
    root = np.linalg.cholesky(precision)
    for rank in (1, 2, 3):
        # reduced-rank regression of the optimal means, in the metric Λ: project the fitted values
        _, _, right = np.linalg.svd(off @ best @ root, full_matrices=False)
        kept = right[:rank].T @ right[:rank]
        params = {"in": best @ root @ kept, "out": np.linalg.inv(root), "log_std": log_std}
        gaps = drawn.gaps(jax.tree.map(jnp.asarray, params))
        np.testing.assert_allclose(gaps.amortisation.mean(), drawn.least(rank), atol=1e-9)
    trained, along = drawn.train(jax.random.key(0), 2, 800)
    assert drawn.least(2) - 1e-9 < drawn.gaps(trained).amortisation.mean() < drawn.least(2) + 0.05
    assert along.shape == (800,)
    assert np.all(np.asarray(along) > drawn.least(2) - 1e-9)


@pytest.mark.slow
def test_c4_6_toy_ascents_end_in_the_posterior():
    """By STL from every x; follow is before the step, so the first is the start."""
    found = toy.ascend(measure_gradients.STICKING, (0.5, 3.0), jax.random.split(jax.random.key(0), 2), 1000)
    assert found.log_rate.shape == (2, 2, 1000)
    np.testing.assert_array_equal(found.log_shape[..., 0], 0)
    np.testing.assert_allclose(np.exp(found.log_shape[..., -1]), 2, rtol=1e-4)
    np.testing.assert_allclose(np.exp(found.log_rate[..., -1]), [[1.5, 1.5], [4.0, 4.0]], rtol=1e-4)


def test_c4_6_the_least_divergence_is_at_x_plus_1():
    for x, found in toy.divergences(replace(PRESETS["smoke"], observed=(0.5, 3.0))).items():
        np.testing.assert_allclose(found.best, x + 1, rtol=1e-9)
        assert abs(found.least) < 1e-12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": 1}, "--numbers must be at least 2"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"draws": 1}, "--draws must be at least 2"),
        ({"batch_size": 9}, "--batch-size must not exceed"),
        ({"rows": 201}, "--rows above 200"),
        ({"separation": 0.5}, "--separation must lie in"),
        ({"most_draws": 12}, "--most-draws must be a power of 2"),
        ({"observed": ()}, "--observed needs at least one value"),
        ({"observed": (-1.0,)}, "--observed are data"),
        ({"batch_sizes": (7,)}, "each divide --many-rows"),
        ({"batch_sizes": (20, 10)}, "must ascend"),
        ({"latents": 4}, "--dims must be at least --latents"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["smoke"], **changes)
