"""The trilemma: a whole small run, families against mathematics, their calls, distances, verdicts and refusals."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from shown import metrics_of

from experiments.kit.call_counting import Counter
from experiments.kit.run import BadInput, begin
from experiments.trilemma import EXERCISE
from experiments.trilemma.budget import measure_budget
from experiments.trilemma.config import PRESETS
from experiments.trilemma.data import load
from experiments.trilemma.families import FAMILIES, ddpm, ebm, ncsn, sde
from experiments.trilemma.measure_codes import compare_codes
from experiments.trilemma.measure_images import NOISE, REAL, Sampled, independent_pixels
from experiments.trilemma.measure_progress import Progress, common_target, reached
from experiments.trilemma.quality import Quality, frechet_from_few
from experiments.trilemma.trainer import Trainer
from experiments.trilemma.verdicts import decide
from jaxgen.metrics import MeanAndError, frechet_distance
from jaxgen.nets import DenoisingGenerator, ResidualEnergy

SMALL = replace(PRESETS["smoke"], progress=False, images=300, reference=20)

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of")


@pytest.fixture(scope="module")
def data():
    return load(SMALL)


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("The trilemma", "Recognisable images", "Unique codes", "literature", "bits per dimension", "NVAE"),
        "samples.png triangles.png quality-and-time.png quality-and-coverage.png progress.png loss.png",
    )
    assert [row["drawn by"] for row in metrics["quality"]] == ["VAE", "DDPM", "DDIM-2", NOISE, REAL]
    assert [row["calls"] for row in metrics["speed"]] == [1, 4, 2]
    assert [row["its FID"] for row in metrics["quality"]] == [23.5, 3.21, 4.67, None, None]
    assert {row["steps"] for row in metrics["budget"]} == {4}
    assert [row["likelihood"] for row in metrics["properties"]] == ["bound", "bound"]


@pytest.mark.slow
def test_families_are_added_to_a_finished_run(finished):
    """What is trained already is used again, and its rows stay."""
    from experiments.kit import launch
    from experiments.trilemma.__main__ import main

    before = metrics_of(finished, ())
    arguments = ["--resume", str(finished), "--models", "vae", "ddpm", "gan"]
    main(launch.parse(PRESETS, arguments))
    rows = {row["drawn by"]: row for row in metrics_of(finished, ("StyleGAN2",))["quality"]}
    assert list(rows) == ["VAE", "GAN", "DDPM", "DDIM-2", NOISE, REAL]
    assert [rows[row["drawn by"]] for row in before["quality"]] == before["quality"]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_trains_draws_and_knows_what_it_says(name, data, tmp_path):
    family = FAMILIES[name](SMALL, data)
    trainer = Trainer(SMALL, family, data)
    budget = measure_budget(replace(SMALL, steps=3), trainer)
    assert 1 <= budget.steps <= 3
    run = begin(EXERCISE, replace(SMALL, runs=tmp_path), [])
    first, last = (trainer.train(run, name, 0, steps, 3) for steps in (1, 3))
    whole = trainer.train(run, f"{name}-again", 0, 3, 3)
    jax.tree.map(np.testing.assert_array_equal, last, whole)  # stopped after its first step and resumed
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), first, last))
    assert max(moved) > 0
    keys, integers = jax.random.split(jax.random.key(0), 3), data.held_out_integers[:3]
    for way in family.ways.values():
        drawn = jax.jit(way.draw)(last, keys)
        assert drawn.shape == (3, *data.shape)
        assert jnp.isfinite(drawn).all()
        # an image depends on its own key alone
        np.testing.assert_allclose(jax.jit(way.draw)(last, keys[::-1]), drawn[::-1], atol=2e-3)
    if family.likelihood is not None:
        log_probability = jax.jit(family.likelihood.log_probability)(last, jax.random.key(1), integers)
        assert log_probability.shape == (3,)
        assert np.all(np.asarray(log_probability) < 0)
    if family.encode is not None:
        codes = jax.jit(family.encode)(last, integers)
        assert codes.ndim == 2
        assert len(codes) == 3


@nightly("module", [ddpm, ncsn, sde], ids=["ddpm", "ncsn", "sde"])
def test_the_calls_of_denoisers_are_as_declared(module, data, monkeypatch):
    counter = Counter()
    monkeypatch.setattr(module, "apply_network", counter.around(module.apply_network))
    family = module.family(SMALL, data)
    params = family.training.initial(0)
    for way in family.ways.values():
        before = counter.calls
        jax.block_until_ready(jax.jit(way.draw)(params, jax.random.split(jax.random.key(0), 2)))
        assert counter.calls - before == way.calls


@pytest.mark.slow
@pytest.mark.parametrize(("name", "net"), [("ebm", ResidualEnergy), ("ddgan", DenoisingGenerator)])
def test_the_calls_of_energies_and_generators_are_as_declared(name, net, data, monkeypatch):
    family = FAMILIES[name](SMALL, data)
    params = family.training.initial(0)
    params = params[0] if name == "ddgan" else params
    counter = Counter()
    monkeypatch.setattr(net, "apply", counter.around(net.apply))
    (way,) = FAMILIES[name](SMALL, data).ways.values()
    jax.block_until_ready(jax.jit(way.draw)(params, jax.random.split(jax.random.key(0), 2)))
    # an energy's norms take calls once, which are no calls for an image
    assert counter.calls == way.calls + (ebm.ITERATIONS if name == "ebm" else 0)


@pytest.mark.slow
def test_the_score_sde_of_a_network_that_returns_zero_is_a_gaussian(data):
    """It is then the exact denoiser of N(0, σ_data² I), whose likelihood and codes are known."""
    family = sde.family(replace(SMALL, tolerance=1e-3), data)
    params = jax.tree.map(jnp.zeros_like, family.training.initial(0))
    integers, dims = data.held_out_integers[:3], math.prod(data.shape)
    found = jax.jit(family.likelihood.log_probability)(params, jax.random.key(0), integers)
    variance = np.mean(np.square(data.train.images[:5000]))
    x = (integers + 0.5) / data.levels * 2 - 1  # the noise within a level averages out
    squares = np.square(x).reshape(3, -1).sum(-1) + dims / (3 * data.levels**2)
    density = -0.5 * squares / variance - 0.5 * dims * np.log(2 * np.pi * variance)
    np.testing.assert_allclose(found, density - dims * math.log(data.levels / 2), rtol=2e-3)


@pytest.mark.slow
def test_the_code_of_a_gaussian_is_the_image_in_its_deviations(data):
    """x(1) has the variance 1, so the ODE divides by σ_data, up to the noise of the encoded images."""
    family = sde.family(replace(SMALL, tolerance=1e-4), data)
    params, integers = jax.tree.map(jnp.zeros_like, family.training.initial(0)), data.held_out_integers[:3]
    variance = np.mean(np.square(data.train.images[:5000]))
    x = ((integers + 0.5) / data.levels * 2 - 1).reshape(3, -1)
    codes = np.asarray(jax.jit(family.encode)(params, integers))
    slope = np.sum(codes * x) / np.sum(x**2)
    assert slope == pytest.approx(1 / np.sqrt(variance + sde.SIGMA_CODE**2), rel=0.02)


@pytest.mark.slow
def test_ddim_encodes_by_a_network_that_returns_zero_as_alpha_x(data):
    """Without noise every step is x_s = α_s x0."""
    family = ddpm.family(SMALL, data)
    params = jax.tree.map(jnp.zeros_like, family.training.initial(0))
    codes = np.asarray(jax.jit(family.encode)(params, data.held_out_integers[:3]))
    scale = 1000 / SMALL.timesteps
    betas = np.linspace(1e-4 * scale, min(0.02 * scale, 0.999), SMALL.timesteps)
    x = data.held_out.images[:3].reshape(3, -1)
    np.testing.assert_allclose(codes, x * np.sqrt(np.prod(1 - betas)), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_flow_encodes_an_image_as_the_latent_that_it_is_drawn_from(data):
    """A latent whose image lies within a level's noise comes back up to the flow's slope there."""
    family = FAMILIES["flow"](SMALL, data)
    params, keys = family.training.initial(0), jax.random.split(jax.random.key(0), 4)
    z = jax.vmap(lambda key: jax.random.normal(key, (math.prod(data.shape),)))(keys)
    drawn = np.asarray(jax.jit(family.ways["flow"].draw)(params, keys))
    integers = np.clip(np.floor((drawn + 1) / 2 * data.levels), 0, data.levels - 1).astype(np.uint8)
    codes = np.asarray(jax.jit(family.encode)(params, integers))
    for code, own in zip(codes, np.asarray(z), strict=True):
        assert np.corrcoef(code, own)[0, 1] > 0.95


@pytest.mark.parametrize(("n", "m", "dims"), [(20, 50, 6), (10, 40, 64)])
def test_the_fast_frechet_distance_is_the_library_s(n, m, dims):
    rng = np.random.default_rng(0)
    few, reference = rng.normal(size=(n, dims)) * 2 + 1, rng.normal(size=(m, dims)) @ rng.normal(size=(dims, dims))
    assert frechet_from_few(few, reference) == pytest.approx(frechet_distance(few, reference), rel=1e-6)
    assert frechet_from_few(few + 3, few) == pytest.approx(9 * dims, rel=1e-6)  # equal but for the mean


def test_codes_agree_up_to_what_all_images_share():
    rng = np.random.default_rng(0)
    codes, shared = rng.normal(size=(40, 500)), 10 * rng.normal(size=500)
    found = compare_codes(codes + shared, codes - 2 * shared)
    assert found.dims == 500
    np.testing.assert_allclose(found.same_image, 1, atol=1e-9)
    # means over 40 images leave a correlation of about −1/39 between others
    assert abs(found.other.mean + 1 / 39) < 4 / math.sqrt(500 * 40)
    half = compare_codes(codes, codes + rng.normal(size=codes.shape))
    assert half.same.mean == pytest.approx(math.sqrt(0.5), abs=4 * 0.5 / math.sqrt(500 * 40) + 0.01)


def test_a_distance_is_reached_between_two_marks():
    falling = Progress(np.array([5.0, 10.0, 20.0]), np.array([9.0, 4.0, 2.0]))
    assert reached(falling, 9.5) == (0.0, 5.0)
    assert reached(falling, 4.0) == (5.0, 10.0)
    assert reached(falling, 3.9) == (10.0, 20.0)
    assert reached(falling, 1.0) == (20.0, None)
    others = {"a": falling, "b": falling._replace(frechets=np.array([9.0, 9.0, 5.0]))}
    assert common_target(others, 0.0) == 3.5
    assert common_target(others, 7.0) == 7.0


def test_independent_pixels_have_the_colours_of_their_places():
    images = np.arange(50)[:, None, None, None] + 100.0 * np.arange(8 * 8 * 3).reshape(8, 8, 3)
    drawn = independent_pixels(images, 400, 0)
    np.testing.assert_array_equal(drawn // 100, np.broadcast_to(np.arange(8 * 8 * 3).reshape(8, 8, 3), drawn.shape))
    chosen = drawn % 100
    np.testing.assert_array_equal(chosen[..., 0], chosen[..., 1])  # a pixel is drawn as a whole
    neighbours = np.corrcoef(chosen[:, 0, 0, 0], chosen[:, 0, 1, 0])[0, 1]
    assert abs(neighbours) < 4 / math.sqrt(400)


def sampled(frechets, recalls, seconds, published=None, kernel=0.1, calls=1):
    sets = [Quality(f, kernel, 0.5, r, 0.0) for f, r in zip(frechets, recalls, strict=True)]
    return Sampled(sets, calls, MeanAndError(seconds, 0.01 * seconds), published, np.zeros((16, 16, 16, 3)))


def test_the_verdicts_follow_from_the_numbers():
    images = {
        "good": sampled([1.0, 1.1, 0.9], [0.8, 0.82, 0.81], 100.0, "DDPM"),
        "as good": sampled([1.05, 1.0, 1.0], [0.5, 0.52, 0.51], 10.0, "DDGAN"),
        "fast": sampled([9.0, 9.1, 8.9], [0.2, 0.21, 0.2], 1.0, "Glow", kernel=0.6),
        NOISE: sampled([20.0, 20.0, 20.0], [0.0, 0.0, 0.0], 1.0, kernel=1.0, calls=None),
        REAL: sampled([0.5, 0.5, 0.5], [0.9, 0.9, 0.9], 1.0, kernel=0.0, calls=None),
    }
    found = decide(images)
    assert found.best == {"quality": ["good", "as good"], "coverage": ["good"], "speed": ["fast"]}
    assert found.all_three == []
    assert found.recognisable == ["good", "as good"]
    assert found.others == ["fast"]  # with .6 of the KID of independent pixels
    np.testing.assert_allclose(found.corners["good"], (1, 1, 0), atol=0.01)
    np.testing.assert_allclose(found.corners["as good"][2], 0.5, atol=1e-9)
    np.testing.assert_allclose(found.corners["fast"], (0, 0, 1), atol=1e-9)
    # the FIDs 3.21, 3.75 and 48.9 have the measured order
    assert found.order.count == 3
    assert found.order.correlation == pytest.approx(1.0)
    assert found.order.p == pytest.approx(2 / math.factorial(3))  # two of six orders are as extreme
    winner = decide({**images, "all": sampled([0.1, 0.11, 0.1], [0.95, 0.95, 0.96], 0.5)})
    assert winner.all_three == ["all"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_every_preset_renders_enough_images(preset):
    """A tenth is held out, less a little for the images that both parts would share."""
    most = max(preset.sets * preset.samples, preset.likelihood_images, preset.code_images)
    assert most < 0.095 * preset.images
    assert preset.reference < 0.85 * preset.images


def test_what_could_only_fail_later_is_refused(data):
    for flags, message in [
        ({"models": ()}, "--models"),
        ({"models": ("vae", "vae")}, "--models must differ"),
        ({"marks": (0.5,)}, "last of which is 1"),
        ({"marks": (1.0, 0.5)}, "ascending shares"),
        ({"sets": 1}, "--sets must be at least 2 for an error bar"),
        ({"reference": 5}, "--reference must be at least 10"),
        ({"levels": 300}, "--levels must be at most 256"),
        ({"ddim_steps": 9}, "--ddim-steps 9"),
        ({"seconds": 0.0}, "--seconds must be positive"),
        ({"target": -1.0}, "--target must be finite"),
        ({"tolerance": 1.0}, r"--tolerance must lie in \(0, 1\)"),
        ({"data_parallel": True, "distributed": True}, "--distributed does not go"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **flags)
    with pytest.raises(BadInput, match="held-out images are compared, but there are only"):
        load(replace(SMALL, samples=20, sets=9))
    with pytest.raises(BadInput, match="training images are compared"):
        load(replace(SMALL, reference=1000))
