"""The variational diffusion bound: its terms against closed forms and KLs, and the gradients that train a schedule."""

import itertools
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, gaussian_denoiser, nightly, slow
from refusals import refuses

from jaxgen.diffusion import (
    GammaProcess,
    PredictionType,
    edm_preconditioning,
    gamma_conditioned,
    learned_schedule,
    linear_log_snr,
    posterior,
    target,
    vdm_bound,
)
from jaxgen.diffusion.times import uniform
from jaxgen.distributions import gaussian_kl, likelihoods

MEAN, STD, DIMS = 0.4, 0.5, 4
KEY = jax.random.key(0)


class Cosine(GammaProcess):
    """γ = 2 log tan of an angle that is linear in t: the cosine schedule between two ends."""

    gamma_min: float
    gamma_max: float

    def gamma(self, t):
        first, last = (jnp.arctan(jnp.exp(end / 2)) for end in (self.gamma_min, self.gamma_max))
        return 2 * jnp.log(jnp.tan(first + (last - first) * t))


# each with the time that stands for z_0
ALL = {name: (process, 1e-3) for name, process in CONTINUOUS.items()} | {
    "ve": (CONTINUOUS["ve"], 0.0),
    "late": (CONTINUOUS["rectified_flow"], 0.3),
    "linear_log_snr": (linear_log_snr(-8.0, 4.0), 0.0),
    "learned": (jax.jit(lambda key: learned_schedule(key, -8.0, 4.0, 16))(KEY), 0.0),
    "cosine_gamma": (Cosine(-8.0, 4.0), 0.0),
}
DAILY = {("vp", None), ("learned", 9)}
TABLES = {name: (process, 1 / process.steps) for name, process in DISCRETE.items()}


def data(n, dims=DIMS, seed=7):
    return MEAN + STD * jax.random.normal(jax.random.key(seed), (n, dims))


def nothing(x, t, cond):
    """Stands for a network where the precondition does all."""
    return x


def exact(process, network):
    """The exact denoiser's eps, as a precondition: it sees the process, so that a schedule may change under it."""
    return lambda x, t, cond: gaussian_denoiser(process, MEAN, STD)(x, t).eps


def as_network_of(predicts):
    """A denoiser that is wrong on purpose, in the language of `predicts`."""

    def precondition(process, network):
        return lambda x, t, cond: target(process, predicts, *gaussian_denoiser(process, 0.1, 0.9)(x, t)[:2], t)

    return precondition


def bound(process, x0, key=KEY, precondition=exact, **options):
    """The bound where the precondition does all, for continuous data by default."""
    options = {"likelihood": likelihoods.gaussian(), **options}
    return vdm_bound(key, process, nothing, x0, precondition=precondition, **options)


def near(found, expected):
    """The mean of found within four standard errors, of which there are to be few per cent."""
    found = np.float64(found)
    error = found.std() / np.sqrt(len(found))
    assert error < 0.05 * max(abs(expected), found.std(), 1e-3)
    assert abs(found.mean() - expected) < 4 * error + 1e-5 * abs(expected)


def log_snr(process, t):
    return np.float64(process.log_snr(t))


# -- the terms -----------------------------------------------------------------------------------------------------


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", ["late", "learned", *(slow(n) for n in ALL if n not in ("late", "learned"))])
def test_terms_on_gaussian_data(name):
    """E‖eps − E[eps|x_t]‖² = d sigmoid(λ + log s²), so the diffusion term is ½ d [softplus(λ + log s²)] between ends.

    The prior costs ½ (alpha² E x²/p² + r − 1 − log r), r = sigma²/p², and the reconstruction ½ log(2πe v), per
    dimension, where v = e^−λ.
    """
    process, t_min = ALL[name]
    x0 = data(30_000)
    found = jax.jit(lambda process: bound(process, x0, t_min=t_min))(process)
    first, last = log_snr(process, t_min), np.maximum(log_snr(process, 1.0), -1e9)
    between = np.logaddexp(0, first + 2 * np.log(STD)) - np.logaddexp(0, last + 2 * np.log(STD))
    near(found.diffusion, DIMS / 2 * between)
    near(found.reconstruction, DIMS / 2 * (np.log(2 * np.pi * np.e) - first))
    alpha, variance, prior = (
        np.float64(v) for v in (process.alpha(1.0), process.variance(1.0), np.square(process.prior_std))
    )
    ratio = variance / prior
    kl = DIMS / 2 * (alpha**2 * (MEAN**2 + STD**2) / prior + ratio - 1 - np.log(ratio))
    np.testing.assert_allclose(found.prior.mean(), kl, rtol=0.02, atol=1e-5)
    np.testing.assert_array_equal(found.total, found.prior + found.diffusion + found.reconstruction)


@nightly(("name", "predicts"), itertools.product(ALL | TABLES, ("eps", "v")))
def test_a_step_costs_t_times_its_kl(name, predicts):
    """½ T expm1(γ_t − γ_s) ‖eps − eps_θ‖² is T KL(q(z_s|z_t,x) ‖ q(z_s|z_t,x̂_θ)), example by example."""
    process, t_min = (ALL | TABLES)[name]
    steps = 7 if process.steps is None else process.steps - 1
    x0, i = data(6), np.array([1, 2, 3, 5, steps - 1, steps])
    noiseless = log_snr(process, 1.0) == -np.inf
    if noiseless and predicts in ("eps", "score"):
        i[-1] = 4  # these say nothing of x0 there
    seen = {}

    def recording(process, network):
        return lambda x, t, cond: seen.update(x=x, t=t) or as_network_of(predicts)(process, network)(x, t, cond)

    options = {"precondition": recording, "predicts": predicts, "times": lambda key, n: jnp.asarray(i / steps)}
    found = bound(process, x0, steps=steps, t_min=t_min, **options).diffusion
    s, t = (np.minimum(np.float32(t_min + (1 - t_min) * j / steps), 1) for j in (i - 1, i))
    np.testing.assert_allclose(seen["t"], t, rtol=1e-6)
    x0_model = gaussian_denoiser(process, 0.1, 0.9)(seen["x"], t).x0
    expected = steps * gaussian_kl(
        posterior(process, seen["x"], x0, s, t), posterior(process, seen["x"], x0_model, s, t)
    )
    assert np.all(np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    ("name", "steps"),
    [case if case in DAILY else slow(*case) for case in itertools.product(("vp", "ve", "late", "learned"), (None, 9))],
)
def test_every_prediction_type_has_the_same_bound(name, steps):
    process, t_min = ALL[name]
    inside = (lambda key, n: jax.random.uniform(key, (n,), minval=0.35, maxval=0.9)) if steps is None else (
        lambda key, n: jax.random.randint(key, (n,), 1, steps) / steps
    )  # fmt: skip
    terms = {
        predicts: bound(
            process,
            data(16),
            precondition=as_network_of(predicts),
            predicts=predicts,
            times=inside,
            steps=steps,
            t_min=t_min,
        ).diffusion
        for predicts in get_args(PredictionType)
    }
    for predicts, term in terms.items():
        np.testing.assert_allclose(term, terms["eps"], rtol=5e-3, err_msg=predicts)


@nightly("name", ["rectified_flow", "cosine"])
def test_the_bound_is_finite_at_t1_without_signal(name):
    process = CONTINUOUS[name]
    for steps in (None, 5):
        options = {"precondition": as_network_of("v"), "predicts": "v", "times": lambda key, n: jnp.ones(n)}
        assert np.all(np.isfinite(bound(process, data(5), steps=steps, t_min=1e-5, **options)))


@pytest.mark.slow
def test_stratified_times_steady_the_mean():
    process, x0 = linear_log_snr(-8.0, 4.0), data(64)
    means = {}
    for name, times in (("stratified", None), ("uniform", uniform(minimum=0.0))):
        run = jax.jit(jax.vmap(lambda key, times=times: bound(process, x0, key, times=times).diffusion.mean()))
        means[name] = np.asarray(run(jax.random.split(KEY, 2000)))
    assert abs(means["stratified"].mean() - means["uniform"].mean()) < 4 * means["uniform"].std() / np.sqrt(2000)
    assert means["stratified"].std() < 0.8 * means["uniform"].std()


@pytest.mark.slow
def test_network_and_decoder_are_given_noise_of_their_own():
    """z_t, z_0 and t come of three keys, no two of them correlated; the decoder gets z_0/alpha_0."""
    process, x0 = linear_log_snr(-4.0, 4.0), data(20_000, 1)

    @jax.jit
    def run(x0):
        seen = {}
        network = lambda x, t, cond: (
            seen.update(t=t, eps=((x - process.alpha(t)[:, None] * x0)[:, 0]) / process.sigma(t)) or x
        )
        decoder = lambda x, gaussian: seen.update(x=x, mean=gaussian.mean, std=gaussian.std) or -jnp.arange(20_000.0)
        return vdm_bound(KEY, process, network, x0, likelihood=decoder), seen

    found, seen = run(x0)
    np.testing.assert_array_equal(seen["x"], x0)
    np.testing.assert_array_equal(found.reconstruction, np.arange(20_000))
    np.testing.assert_allclose(seen["std"], np.exp(-4.0 / 2), rtol=1e-5)
    z = np.float64(seen["mean"] - x0)[:, 0] / np.exp(-4.0 / 2)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    correlation = np.corrcoef([seen["t"], seen["eps"], z])
    assert np.all(np.abs(correlation[np.triu_indices(3, 1)]) < 4 / np.sqrt(20_000))


@pytest.mark.slow
def test_levels_are_read_without_loss_where_z0_is_clean():
    """By default: 256 levels on [−1, 1], of which noise far below their distance lets each be read."""
    x0 = jnp.linspace(-1, 1, 256).reshape(32, 8)
    reconstruction = jax.jit(lambda process: bound(process, x0, likelihood=None).reconstruction)
    np.testing.assert_allclose(reconstruction(linear_log_snr(-16.0, 5.0)), 0, atol=1e-5)
    assert np.all(reconstruction(linear_log_snr(-4.0, 5.0)) > 8 * np.log(2))


@pytest.mark.slow
def test_an_examples_own_key():
    """The evaluation of the docstring: n draws for each example, which no neighbour changes, about the closed form."""
    process, x0, n = linear_log_snr(-8.0, 4.0), data(50), 256

    @jax.jit
    def evaluate(keys, x0):
        return jax.vmap(lambda key, x: bound(process, jnp.stack([x] * n), key))(keys, x0)

    keys = jax.random.split(KEY, 50)
    found = evaluate(keys, x0)
    assert found.total.shape == (50, n)
    neighbours, others = jax.random.split(jax.random.key(1), 50), data(50, seed=8)
    elsewhere = evaluate(*(jnp.concatenate([b[:10], a[10:13], b[13:]]) for a, b in ((keys, neighbours), (x0, others))))
    np.testing.assert_array_equal(found.total[10:13], elsewhere.total[10:13])
    assert np.all(found.total[13:] != elsewhere.total[13:])
    per_example = np.float64(found.diffusion.mean(1))
    t = (np.arange(4000) + 0.5) / 4000
    alpha2, variance = np.float64(process.alpha(t)) ** 2, np.float64(process.variance(t))
    total = alpha2 * STD**2 + variance
    # eps − E[eps|x_t] = (alpha² s² eps − alpha sigma (x − m))/(alpha² s² + sigma²)
    offset = np.sum((np.float64(x0) - MEAN) ** 2, 1)
    error = (alpha2 * STD**2) ** 2 * DIMS / total**2 + np.outer(offset, alpha2 * variance / total**2)
    expected = 0.5 * 12 * error.mean(1)
    np.testing.assert_allclose(per_example, expected, atol=5 * found.diffusion.std(1).max() / np.sqrt(n))
    assert np.ptp(expected) > 0.5


@pytest.mark.slow
def test_conditioning_and_precision():
    process, seen, labels = linear_log_snr(), {}, jnp.arange(8)

    def network(x, t, cond):
        seen.update(t=t, cond=cond, x=x)
        return x.astype(jnp.bfloat16)

    for dtype in (jnp.bfloat16, jnp.float32):
        found = jax.eval_shape(lambda x0: vdm_bound(KEY, process, network, x0, cond=labels), data(8).astype(dtype))
        assert {term.dtype for term in found} == {jnp.dtype(jnp.float32)}
        assert seen["x"].dtype == seen["t"].dtype == jnp.float32
        np.testing.assert_array_equal(seen["cond"], labels)
    with jax.enable_x64(True):
        wide = learned_schedule(KEY, features=4)
        for dtype, steps in ((jnp.float32, 10), (jnp.float64, None)):
            run = lambda x0, steps=steps: vdm_bound(KEY, wide, nothing, x0, steps=steps)
            assert {term.dtype for term in jax.eval_shape(run, jnp.ones((8, DIMS), dtype))} == {jnp.dtype(dtype)}


def test_the_network_may_see_gamma():
    process, seen = linear_log_snr(-10.0, 4.0), {}

    def network(x, t, cond):
        seen.update(t=t, cond=cond)
        return x

    conditioned = gamma_conditioned(process, network, -12.0, 8.0)
    assert conditioned(jnp.ones((3, 2)), jnp.array([0.0, 0.5, 1.0]), "c").shape == (3, 2)
    np.testing.assert_allclose(seen["t"], [0.1, 0.45, 0.8], rtol=1e-6)
    assert seen["cond"] == "c"
    gamma_conditioned(CONTINUOUS["cosine"], network, -20.0, 20.0)(jnp.ones((2, 2)), jnp.array([0.0, 1.0]), None)
    np.testing.assert_allclose(seen["t"], [-0.5, 1.5])


# -- gradients -----------------------------------------------------------------------------------------------------


def mlp(params, dtype=jnp.float32):
    def network(x, t, cond):
        hidden = jnp.tanh(x @ params["in"] + jnp.sin(5 * t)[:, None] * params["time"])
        return jnp.tanh(hidden @ params["middle"]) @ params["out"]

    return network


def mlp_params(width, dims=DIMS):
    shapes = {"in": (dims, width), "time": (width,), "middle": (width, width), "out": (width, dims)}
    keys = jax.random.split(jax.random.key(3), 4)
    return {n: jax.random.normal(k, s) / np.sqrt(s[0]) for (n, s), k in zip(shapes.items(), keys, strict=True)}


def bound_of(params, x0, **options):
    return vdm_bound(KEY, params["process"], mlp(params["network"]), x0, likelihood=likelihoods.gaussian(), **options)


def between_the_ends(process, network):
    """A network whose time is γ's place between the learned ends, asked for as scalars and for a column of times."""

    def conditioned(x, t, cond):
        first, last = process.gamma(0.0), process.gamma(1.0)
        return network(x, ((process.gamma(t[:, None]) - first) / (last - first))[:, 0], cond)

    return conditioned


@nightly(
    ("predicts", "conditioned"),
    [("eps", gamma_conditioned), ("v", None), ("x0", edm_preconditioning), ("velocity", between_the_ends)],
)
def test_one_pass_has_the_gradients_of_two(predicts, conditioned):
    """Network and ends by autodiff of the total, the shape by autodiff of diffusion², each alone with the rest held."""
    with jax.enable_x64(True):
        x0 = data(5).astype(jnp.float64)
        params = {"process": learned_schedule(KEY, -6.0, 3.0, 12), "network": mlp_params(8)}
        options = {"predicts": predicts, "precondition": conditioned}
        value, found = jax.jit(
            jax.value_and_grad(lambda p: bound_of(p, x0, variance_gradient=True, **options).total.mean())
        )(params)

        def two(params):
            bound = bound_of(params, x0, **options)
            means = bound.total.mean(), (bound.diffusion**2).mean()
            return means, means[0]

        (total, square), plain = jax.jit(jax.jacrev(two, has_aux=True))(params)
        np.testing.assert_allclose(value, plain, rtol=1e-12)
        chex.assert_trees_all_close(found["network"], total["network"], rtol=1e-9)
        for end in ("gamma_min", "width"):
            np.testing.assert_allclose(*(getattr(tree["process"], end) for tree in (found, total)), rtol=1e-9)
        shape = square["process"].shape
        chex.assert_trees_all_close(found["process"].shape, shape, rtol=1e-9, atol=1e-9)
        assert abs(total["process"].shape.l1 / shape.l1 - 1) > 0.5  # the gradient of the bound is another


@pytest.mark.slow
def test_the_gradient_under_vmap_and_in_x():
    params, x0 = {"process": learned_schedule(KEY, features=8), "network": mlp_params(8)}, data(6)

    def total(params, key, x0, variance_gradient):
        return vdm_bound(
            key, params["process"], mlp(params["network"]), x0, likelihood=likelihoods.gaussian(),
            variance_gradient=variance_gradient,
        ).total.mean()  # fmt: skip

    keys = jax.random.split(KEY, 2)
    gradient = jax.jit(jax.grad(total, (0, 2)), static_argnums=3)
    every = jax.jit(jax.vmap(lambda key: gradient(params, key, x0, True)))(keys)
    each = [gradient(params, key, x0, True) for key in keys]
    chex.assert_trees_all_close(every, jax.tree.map(lambda *leaves: jnp.stack(leaves), *each), rtol=1e-4, atol=1e-4)
    # not the schedule's, but the data's gradient is the bound's
    np.testing.assert_allclose(each[0][1], gradient(params, keys[0], x0, False)[1], rtol=1e-4, atol=1e-5)


def products(jaxpr):
    """Matrix products in a jaxpr and all that it calls."""
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == "dot_general"
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            count += products(inner) if hasattr(inner, "eqns") else 0
    return count


@pytest.mark.slow
def test_the_gradients_cost_one_pass():
    """Beside the bound's own gradient: the same matrix products and, with a wide network, the same arithmetic."""
    params, x0 = {"process": learned_schedule(KEY, features=8), "network": mlp_params(256, 32)}, data(64, 32)

    def gradient(variance_gradient):
        def total(params):
            return bound_of(params, x0, variance_gradient=variance_gradient).total.mean()

        return jax.jit(jax.grad(total))

    def twice(params):
        square = jax.grad(lambda p: (bound_of(p, x0).diffusion ** 2).mean())(params)
        return jax.grad(lambda p: bound_of(p, x0).total.mean())(params), square

    counts, flops = [], []
    for function in (gradient(False), gradient(True), jax.jit(twice)):
        traced = function.trace(params)
        counts.append(products(traced.jaxpr.jaxpr))
        flops.append(traced.lower().compile().cost_analysis()["flops"])
    assert counts[0] == counts[1] == counts[2] / 2 == 3 + 6  # layers forward and back, x_t's too
    assert flops[1] < 1.02 * flops[0]
    assert flops[2] > 1.3 * flops[0]


@pytest.mark.slow
def test_the_ends_go_where_the_exact_bound_falls():
    """On N(m, s²) the expected total is ½ d log(s² + e^γ0) + d KL(q_1 ‖ N(0, 1)) and a constant: its derivatives."""
    x0, keys = data(256), jax.random.split(KEY, 400)
    process = learned_schedule(KEY, -3.0, 1.0, 8)

    def total(process, key):
        return bound(process, x0, key, variance_gradient=True).total.mean()

    gradients = jax.jit(jax.vmap(jax.grad(total), (None, 0)))(process, keys)
    # gamma_max = gamma_min + softplus(width)
    of_max = np.asarray(gradients.width) / (1 - np.exp(-4.0))

    def expected(ends):
        alpha2 = jax.nn.sigmoid(-ends[1])
        kl = 0.5 * (alpha2 * ((x0 - MEAN) ** 2).mean() - jnp.log1p(alpha2 * (STD**2 - 1)) + alpha2 * (MEAN**2 - 1))
        return DIMS * (0.5 * jnp.log(STD**2 + jnp.exp(ends[0])) + kl)

    exact_gradient = np.asarray(jax.grad(expected)(jnp.array([-3.0, 1.0])))
    for found, expected in zip((np.asarray(gradients.gamma_min) - of_max, of_max), exact_gradient, strict=True):
        error = found.std() / np.sqrt(len(found))
        assert error < 0.2 * abs(expected)
        # the batch is one draw of the data, whose own scatter is about a sixteenth
        assert abs(found.mean() - expected) < 4 * error + 0.1 * abs(expected)


@pytest.mark.slow
def test_schedules_and_seeds_compile_once():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def total(process, key):
        return bound(process, data(4), key, variance_gradient=True).total

    values = [total(learned_schedule(key, -5.0 - i, 3.0, 8), key) for i, key in enumerate(jax.random.split(KEY, 3))]
    assert len({float(v[0]) for v in values}) == 3


def test_refusals(unchecked):
    x0, net, trained = data(3), lambda x, t, cond: x, learned_schedule(KEY, features=4)
    run = lambda process=trained, network=net, **options: jax.eval_shape(
        lambda x0: vdm_bound(KEY, process, network, x0, **options), x0
    )
    refuses(
        ("log-SNR of VP at t_min=0.0 is inf: a bound needs a noisy z_0", lambda: run(CONTINUOUS["vp"])),
        ("0 <= t_min < 1", lambda: run(t_min=1.0)),
        ("steps >= 1", lambda: run(steps=0)),
        ("must return x's shape", lambda: run(network=lambda x, t, cond: x[:, :1])),
        ("use a continuous process", lambda: run(DISCRETE["linear"], t_min=1e-3)),
        ("unknown prediction", lambda: run(predicts="noise")),
        ("let the shape follow the bound", lambda: run(steps=4, variance_gradient=True)),
        ("got LinearLogSNR and steps=None", lambda: run(linear_log_snr(), variance_gradient=True)),
        ("need gamma_min < gamma_max", lambda: gamma_conditioned(trained, net, 1.0, 1.0)),
    )
