"""The controllable-generation experiment: a whole small run, its measures of fills on known laws, and refusals."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import metrics_of

from experiments.controllable import __main__ as controllable
from experiments.controllable import measure_classes as classes
from experiments.controllable import measure_errors as worth
from experiments.controllable import measure_fills, methods, noisy_classifier
from experiments.controllable.config import PRESETS
from experiments.controllable.report import ASKED, HIDDEN, fill_rows, scale_rows
from experiments.controllable.tasks import tasks
from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FRECHET
from experiments.kit.images import Images
from experiments.kit.run import BadInput, begin
from jaxgen.data import ImageDataset
from jaxgen.diffusion import Prediction, clip_x0, ve, vp
from jaxgen.metrics import MeanAndError
from tests.oracles import gaussian_denoiser

TASKS = PRESETS["default"].tasks

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def run_of(tmp_path, **changes):
    """A run that has just begun."""
    config = replace(PRESETS["smoke"], runs=tmp_path, progress=False, **changes)
    return begin(controllable.EXERCISE, config, [])


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("RePaint", "ΠGDM", "DPS", "held-out images", "Without guidance"),
        "data.png loss.png fills-colours.png classifier.png classes.png",
    )
    found = {row["method"]: row for row in metrics["fills"]}
    assert list(found) == ["projection", "RePaint", "DPS", "ΠGDM"]
    for method in ("projection", "RePaint"):  # put in place: exact whatever the network has learned
        assert found[method]["observed part"][0] < 1e-5, method
    assert [row["scale"] for row in metrics["classes"]["table"]] == [0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_errors_of_draws_of_a_known_law(task):
    """A fill and the truth are independent N(0, .3² I), another fill is the truth; then both are a step off."""
    rng, shape, std = np.random.default_rng(0), (16, 16, 3), 0.3
    operator = tasks(shape, TASKS)[task].operator
    truth, other = (jnp.asarray(std * rng.normal(size=(400, *shape)), jnp.float32) for _ in range(2))
    drawn = np.stack([np.asarray(truth), np.asarray(other)])[::-1]
    found = worth.errors(operator, truth, drawn)
    # of two fills one is the truth itself: half the squares to the truth are 0, and the two differ by √2 std
    assert found.hidden.mean == pytest.approx(std, abs=4 * found.hidden.error)
    assert found.differ.mean == pytest.approx(2**0.5 * std, abs=4 * found.differ.error)
    assert found.spread.mean == pytest.approx(2**0.5, rel=1e-3)
    moved = worth.errors(operator, truth, np.asarray(truth)[None].repeat(2, 0) + 0.1)
    step = float(jnp.abs(operator(jnp.full((1, *shape), 0.1))).max())
    assert moved.observed.mean == pytest.approx(step, rel=1e-4)
    # a shift of all colours alike is not all luminance: grey does not see 1 − w/‖w‖² of it, two of three numbers
    luma = np.array([0.299, 0.587, 0.114])
    colours = 0.1 * np.sqrt(np.sum((1 - luma / (luma @ luma)) ** 2) / 2)
    hidden = {"right-half": 0.1, "middle": 0.1, "4x-pixels": 0.0, "colours": colours}[task]
    assert moved.hidden.mean == pytest.approx(hidden, abs=1e-5)
    assert moved.differ.mean == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_spread_of_posterior_draws_is_one():
    """Truth and fills alike are draws of one law, here of 8 × 8 unseen numbers of each image with its own mean."""
    rng, shape = np.random.default_rng(1), (16, 16, 3)
    mean = rng.normal(size=(300, *shape))
    truth, *drawn = (mean + 0.2 * rng.normal(size=mean.shape) for _ in range(5))
    found = worth.errors(tasks(shape, TASKS)["middle"].operator, np.float32(truth), np.float32(drawn))
    assert found.spread.mean == pytest.approx(1, abs=0.01)
    assert abs(found.spread.mean - 1) < 4 * found.spread.error
    too_sure = worth.errors(
        tasks(shape, TASKS)["middle"].operator, np.float32(truth), np.float32(mean + 0.5 * (np.array(drawn) - mean))
    )
    assert too_sure.spread.mean == pytest.approx((2 * 0.25 / 1.25) ** 0.5, abs=0.01)


@pytest.mark.slow
def test_errors_and_their_bars_by_numpy():
    rng = np.random.default_rng(2)
    truth, drawn = rng.normal(size=(30, 4, 4, 3)), rng.normal(size=(3, 30, 4, 4, 3))
    found = worth.errors(tasks((4, 4, 3), TASKS)["right-half"].operator, np.float32(truth), np.float32(drawn))
    left, right = (np.mean((drawn - truth)[:, :, :, of] ** 2, axis=(0, 2, 3, 4)) for of in (slice(0, 2), slice(2, 4)))
    gaps = np.stack([drawn[0] - drawn[1], drawn[1] - drawn[2], drawn[0] - drawn[2]])[:, :, :, 2:]
    between = np.mean(gaps**2, axis=(0, 2, 3, 4))
    for of, squares in ((found.observed, left), (found.hidden, right), (found.differ, between)):
        root = np.sqrt(squares.mean())
        assert of.mean == pytest.approx(root, rel=1e-5)
        assert of.error == pytest.approx(squares.std(ddof=1) / np.sqrt(30) / (2 * root), rel=1e-4)
    np.testing.assert_allclose(found.squares, right, rtol=1e-5)
    without = [np.sqrt(np.delete(between, i).mean() / np.delete(right, i).mean()) for i in range(30)]
    assert found.spread.mean == pytest.approx(np.sqrt(between.mean() / right.mean()), rel=1e-5)
    assert found.spread.error == pytest.approx(np.sqrt(29 * np.var(without)), rel=0.05)  # by the jackknife


def test_the_error_of_a_spread_by_monte_carlo():
    rng = np.random.default_rng(3)
    found = [worth.spread(rng.gamma(2, size=40), rng.gamma(3, size=40)) for _ in range(2000)]
    assert np.mean([of.error for of in found]) == pytest.approx(np.std([of.mean for of in found]), rel=0.07)


def made(squares):
    squares = np.asarray(squares)
    root = worth.root(worth.mean_and_error(squares))
    return worth.Errors(MeanAndError(0.0, 0.0), root, root, MeanAndError(1.0, 0.01), squares)


def test_the_nearest_method_and_those_as_near_within_chance():
    rng = np.random.default_rng(4)
    image, noise = rng.gamma(2, size=20), 0.02 * rng.normal(size=(2, 20))
    # on the same images: B is a little and surely farther than A, C as near as chance, D far
    found = {
        "q": {
            "D": made(image + 2), "B": made(image + 0.1 + noise[0]), "A": made(image),
            "C": made(image + 0.005 + noise[1]),
        },
        "r": {"A": made(image + 2), "D": made(image)},
    }  # fmt: skip
    assert worth.nearest(found) == {"q": worth.Nearest("A", ["C"]), "r": worth.Nearest("D", [])}


def test_what_each_task_shows_and_hides():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32)
    found = tasks((8, 8, 3), TASKS)
    half, middle = (np.asarray(found[name].operator(x)) for name in ("right-half", "middle"))
    np.testing.assert_array_equal(half[:, :, :4], x[:, :, :4])
    assert not half[:, :, 4:].any()
    assert not middle[:, 2:6, 2:6].any()
    hidden = np.zeros((8, 8, 3), bool)
    hidden[2:6, 2:6] = True
    np.testing.assert_array_equal(middle[:, ~hidden], np.asarray(x)[:, ~hidden])
    for name, y in (("right-half", half), ("middle", middle)):
        np.testing.assert_array_equal(found[name].show(y), y)
    small = np.asarray(found["4x-pixels"].operator(x))
    np.testing.assert_allclose(small[:, 1, 0], x[:, 4:, :4].mean((1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["4x-pixels"].show(small)[:, 5, 3], small[:, 1, 0])
    assert "colours" not in tasks((8, 8, 1), TASKS)
    assert list(tasks((8, 8, 3), ("colours", "middle"))) == ["middle", "colours"]


# a level of each image's own (sd .3) and white noise (.1): what is seen of an image tells of what is hidden
LEVEL, WHITE, SHAPE = 0.3, 0.1, (4, 4, 3)
CONFIG = SimpleNamespace(calls=60, repeats=5, step_size=1.0, fills=2, seed=0)


def correlated_denoiser(process):
    """The exact denoiser of x = a + b, a ~ N(0, LEVEL²) for a whole image and b ~ N(0, WHITE² I)."""

    def denoise(x, t, cond=None):
        axes, dims = tuple(range(1, x.ndim)), x[0].size
        mean = x.mean(axes, keepdims=True)
        t = jnp.broadcast_to(t, x.shape[:1]).reshape((-1,) + (1,) * (x.ndim - 1))
        alpha, sigma = process.alpha(t), process.sigma(t)

        def shrink(variance):
            return alpha * variance / (alpha**2 * variance + sigma**2)

        # along the level the variance is dims LEVEL² + WHITE², across it WHITE²
        x0 = shrink(dims * LEVEL**2 + WHITE**2) * mean + shrink(WHITE**2) * (x - mean)
        return Prediction(x0, (x - alpha * x0) / sigma)

    return denoise


def model_of(process, calls=None, clips=None):
    """A model that is exact, and counts its calls and what it is told to clip."""

    def denoise(params, clip=None):
        if clips is not None:
            clips.append(clip)

        def of(x, t, cond=None):
            if calls is not None:
                jax.debug.callback(lambda: calls.append(1))
            return clip_x0(process, correlated_denoiser(process)(x, t), x, t, clip)

        return of

    return SimpleNamespace(process=process, params=None, shape=SHAPE, denoise=denoise)


def images(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.float32(LEVEL * rng.normal(size=(n, 1, 1, 1)) + WHITE * rng.normal(size=(n, *SHAPE)))


@pytest.fixture(scope="module")
def filled():
    """Errors of right halves of 1000 images, by each method on the exact denoiser and blindly; and network calls."""
    truth, operator = images(1000), tasks(SHAPE, TASKS)["right-half"].operator
    y, keys = operator(jnp.tile(truth, (2, 1, 1, 1))), jax.random.split(jax.random.key(1), 2000)
    found, counts = {}, {}
    for name in ("projection", "RePaint", "DPS", "ΠGDM"):
        calls = []
        method = methods.methods(model_of(vp(), calls), CONFIG)[name]
        drawn = jax.jit(lambda keys, y, method=method: method(None, keys, operator, y))(keys, y)
        found[name] = worth.errors(operator, truth, np.asarray(drawn).reshape(2, *truth.shape))
        jax.effects_barrier()
        counts[name] = len(calls)
    unguided = np.stack([images(1000, seed) for seed in (1, 2)])
    return found, worth.errors(operator, truth, unguided), counts


# of 24 numbers seen the level is known to .02: two draws of the rest differ by √2 √(.1² + .02²), and as much from truth
POSTERIOR = np.sqrt(2 * (WHITE**2 + 1 / (24 / WHITE**2 + 1 / LEVEL**2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "observed", "hidden"),
    [
        ("projection", (0, 1e-5), (1.1, 2.0)),  # biased: what it hides agrees less with what is seen
        ("RePaint", (0, 1e-5), (0.95, 1.2)),
        ("DPS", (0, 0.25), (0.7, 1.2)),  # guided in part: what saw nothing is .45 off
        ("ΠGDM", (0, 0.01), (0.9, 1.2)),
    ],
)
def test_every_method_fills_what_an_exact_model_hides(filled, name, observed, hidden):
    found, unguided, _ = filled
    assert unguided.observed.mean == pytest.approx(np.sqrt(2 * (WHITE**2 + LEVEL**2)), rel=0.1)
    assert unguided.hidden.mean > 2.5 * POSTERIOR
    assert observed[0] <= found[name].observed.mean < observed[1]
    assert hidden[0] * POSTERIOR < found[name].hidden.mean < hidden[1] * POSTERIOR


@pytest.mark.slow
def test_repaint_agrees_better_than_projection(filled):
    found, *_ = filled
    gap = found["projection"].squares - found["RePaint"].squares
    assert gap.mean() > 3 * gap.std() / np.sqrt(len(gap))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["projection", "RePaint", "DPS", "ΠGDM"])
def test_every_method_calls_the_network_about_as_often(filled, name):
    assert CONFIG.calls - CONFIG.repeats <= filled[2][name] <= CONFIG.calls + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["projection", "RePaint", "DPS", "ΠGDM"])
def test_every_method_clips_alike(monkeypatch, name):
    clips, operator = [], tasks(SHAPE, TASKS)["right-half"].operator
    monkeypatch.setattr(methods, "sample", lambda keys, process, denoise, *_: denoise)
    y = operator(jnp.full((2, *SHAPE), 3.0))
    denoise = methods.methods(model_of(vp(), clips=clips), CONFIG)[name](None, None, operator, y)
    x0 = denoise(jnp.full((2, *SHAPE), 5.0), 0.3).x0
    np.testing.assert_allclose(jnp.abs(x0).max(), 1, rtol=1e-6)
    # a clip inside what DPS and ΠGDM differentiate would stop the guidance
    assert clips == [None if name in ("DPS", "ΠGDM") else 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_method_serves_every_task(task):
    """The observed part is met, and the hidden part is no farther than unguided; of 4x-pixels y says nothing on it."""
    truth, operator = images(300), tasks(SHAPE, TASKS)[task].operator
    y, keys = operator(jnp.asarray(truth)), jax.random.split(jax.random.key(1), 300)
    unguided = worth.errors(operator, truth, np.stack([images(300, seed) for seed in (1, 2)]))
    for name, method in methods.methods(model_of(vp()), CONFIG).items():
        drawn = np.asarray(jax.jit(lambda keys, y, method=method: method(None, keys, operator, y))(keys, y))
        found = worth.errors(operator, truth, np.stack([drawn, drawn]))
        assert found.observed.mean < (0.6 if name == "DPS" else 0.05) * unguided.observed.mean, name
        assert found.hidden.mean < 1.15 * unguided.hidden.mean, name


@pytest.mark.slow
def test_the_table_of_fills_on_known_ones(monkeypatch, tmp_path):
    """A method that is off by .1 all over, and one by −.2 in the first fill and .2 in the second."""
    truth = images(8)
    signs = jnp.repeat(jnp.array([-0.2, 0.2]), 8).reshape(-1, 1, 1, 1)

    def exact(params, keys, operator, y):
        return params["truth"] + 0.1

    def wide(params, keys, operator, y):
        return params["truth"] + signs

    monkeypatch.setattr(measure_fills, "methods", lambda model, config: {"wide": wide, "exact": exact})
    model = SimpleNamespace(params={"truth": jnp.tile(truth, (2, 1, 1, 1))})
    found = measure_fills.measure_fills(run_of(tmp_path, tasks=("right-half", "middle"), fills=2), model, truth)
    rows = {(row["question"], row["method"]): row for row in fill_rows(found)}
    for task in ("right half", "middle"):
        for name, off, apart in (("exact", 0.1, 0.0), ("wide", 0.2, 0.4)):
            row = rows[task, name]
            assert row["observed part"][0] == pytest.approx(off, rel=1e-4)
            assert row[HIDDEN][0] == pytest.approx(off, rel=1e-4)
            assert row["two fills"][0] == pytest.approx(apart, rel=1e-4, abs=1e-6)
            assert row["spread"][0] == pytest.approx(apart / off, rel=1e-4, abs=1e-5)
    assert found["right-half"].nearest == worth.Nearest("exact", [])
    assert found["middle"].fills["wide"].shape == (2, 8, *SHAPE)


class NoiseMeter:
    """Right (class 0) where an input is noise of the size that it is told, and of unit variance with the signal."""

    def __init__(self, num_classes):
        self._classes = num_classes

    def apply(self, params, x, level):
        expected = jax.nn.sigmoid(-8 * level)  # sigma²/(alpha² + sigma²)
        right = jnp.abs(jnp.mean(x**2, axis=(1, 2, 3)) / expected - 1) < 0.6
        return jnp.log(jnp.where(right[:, None], jnp.eye(self._classes)[0], jnp.eye(self._classes)[1]) + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("process", [vp(), ve()], ids=["vp", "ve"])
def test_the_classifier_learns_and_is_measured_on_noise_of_unit_size(process, monkeypatch):
    """Of black (0) images x_t is noise alone: a meter of noise is right at every t, on clean images it is not."""
    labels = np.zeros(64, int)
    labels[:20] = 1
    black = ImageDataset(np.zeros((64, 8, 8, 3), np.float32), np.zeros(64, int), ("a", "b"))
    test = ImageDataset(black.images, labels, ("a", "b"))
    got = {}

    def train_network(run, name, params, loss, data, *, seed, steps, held_out_loss):
        got.update(losses=jax.jit(loss)(jax.random.key(0), params, tuple(map(jnp.asarray, data))), steps=steps)
        return SimpleNamespace(averaged=params)

    monkeypatch.setattr(noisy_classifier, "NoisyClassifierNet", NoiseMeter)
    monkeypatch.setattr(noisy_classifier, "initial_parameters", lambda *_: None)
    monkeypatch.setattr(noisy_classifier, "train_network", train_network)
    run = SimpleNamespace(config=PRESETS["smoke"])
    found = noisy_classifier.train_noisy_classifier(run, process, Images(black, test), steps=7)
    assert got["steps"] == 7
    assert got["losses"].shape == (64,)
    assert np.mean(got["losses"] < 0.1) > 0.9
    assert classes.largest_share(test.labels) == pytest.approx(44 / 64)
    accuracies = classes.accuracy_by_noise(found, test)
    assert set(accuracies) == set(classes.LEVELS)
    for level, accuracy in accuracies.items():
        if level <= 20:  # ve and vp reach no further than 50
            assert accuracy == pytest.approx(44 / 64, abs=0.01), level


@pytest.mark.parametrize("process", [vp(), ve()], ids=["vp", "ve"])
def test_the_classifier_of_noisy_images_sees_them_at_a_scale_that_noise_leaves(process):
    net = SimpleNamespace(apply=lambda params, x, level: (x, level))
    x, t = jax.random.normal(jax.random.key(1), (4, 8, 8, 3)), jnp.array([0.05, 0.3, 0.6, 1.0])
    told, level = noisy_classifier.NoisyClassifier(net, process, None).log_probs(None, x, t)
    alpha, sigma = (np.asarray(of(t), np.float64) for of in (process.alpha, process.sigma))
    np.testing.assert_allclose(told, x / np.sqrt(alpha**2 + sigma**2)[:, None, None, None], rtol=1e-4)
    np.testing.assert_allclose(level, 2 * np.log(alpha / sigma) / 8, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_classifier_of_noisy_images_gives_log_probabilities():
    net, x = noisy_classifier.NoisyClassifierNet(3), jax.random.normal(jax.random.key(1), (4, 4, 4, 3))
    log_probs, _ = jax.jit(net.init_with_output)(jax.random.key(0, impl="rbg"), x, jnp.ones(4))
    assert log_probs.shape == (4, 3)
    np.testing.assert_allclose(jnp.exp(log_probs).sum(-1), 1, rtol=1e-5)


class Brightest:
    """The class of an image is its brightest channel; so is the classifier's of a noisy one, less surely."""

    def apply(self, params, x, level):
        return jax.nn.log_softmax(4 * x.mean((1, 2)))


def brightest_channel():
    return Classifier(
        lambda x: np.asarray(x).mean((1, 2)),
        lambda x: np.eye(3)[np.asarray(x).mean((1, 2)).argmax(-1)],
        0.9,
        "this data's labels",
    )


def labelled(counts):
    """White noise with one channel brighter, so many images of each class, in order."""
    labels = np.arange(3).repeat(counts)
    found = 0.1 * np.random.default_rng(0).normal(size=(len(labels), *SHAPE))
    return ImageDataset(np.float32(found + 0.3 * np.eye(3)[labels][:, None, None]), labels, ("red", "green", "blue"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Fréchet distance of")
def test_samples_are_of_the_class_that_is_asked_for(tmp_path):
    """With the exact denoiser of N(0, .2² I) and an exact gradient: a third without guidance, nearly all with."""
    process, trained, test = vp(), labelled([30, 30, 30]), labelled([20, 8, 4])
    test.labels[18:20] = 2  # of red images two are called blue: of these 2 of 6 are read otherwise
    noisy = noisy_classifier.NoisyClassifier(Brightest(), process, None)
    model = SimpleNamespace(
        process=process, params=None, shape=SHAPE, denoise=lambda params: gaussian_denoiser(process, 0.0, 0.2)
    )
    run = run_of(tmp_path, class_samples=300, class_steps=12, scales=(40.0, 0.0))
    found = classes.measure_classes(run, Images(trained, test), model, brightest_channel(), noisy)
    rows = {row["scale"]: row for row in scale_rows(found)}
    assert list(rows) == [0.0, 40.0]
    assert rows[0.0][ASKED][0] == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 300))
    assert rows[0.0][ASKED][1] == pytest.approx(np.sqrt(2 / 9 / 300), rel=0.1)
    assert rows[40.0][ASKED][0] > 0.95
    assert 0 < rows[40.0][ASKED][1] < 0.02
    assert FRECHET in rows[0.0]
    assert (found.best, found.verdicts) == (40.0, {40.0: "better"})
    assert found.by_class == {"red": 1.0, "green": 1.0, "blue": pytest.approx(4 / 6)}
    assert (found.worst, found.mean_over_classes) == ("blue", pytest.approx(8 / 9))
    assert found.most_frequent == pytest.approx(18 / 32)
    assert found.images.shape == (3, 10, *SHAPE)
    assert np.mean(found.images.mean((2, 3)).argmax(-1) == np.arange(3)[:, None]) > 0.9


@pytest.mark.slow
def test_images_of_each_class_alike_in_number():
    data = labelled([5, 1, 12])
    found = classes.in_equal_parts(data, 7)
    assert len(found) == 21
    for label in range(3):
        members = {image.tobytes() for image in data.images[data.labels == label]}
        drawn = [image.tobytes() for image in found[label::3]]
        assert set(drawn) <= members
        assert len(set(drawn)) == min(7, len(members))
    absent = ImageDataset(data.images[:6], data.labels[:6], data.label_names)
    assert len(classes.in_equal_parts(absent, 4)) == 8


@pytest.mark.slow
def test_chance_is_the_largest_share():
    assert classes.largest_share(np.array([0, 2, 2, 1, 2])) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observed": 300}, "--observed 300 exceeds the 30 held-out images"),
        ({"channels": 8, "multipliers": (1,) * 7}, "7 levels halve the image"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_made(changes, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        controllable.main(replace(PRESETS["smoke"], runs=tmp_path / "runs", progress=False, **changes))
    assert not (tmp_path / "runs").exists()


def test_colours_of_grey_images_are_refused(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 1), np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    with pytest.raises(BadInput, match="--tasks colours needs images of three channels"):
        controllable.main(replace(PRESETS["smoke"], data=tmp_path / "grey.npy", runs=tmp_path / "runs", progress=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 18, "data": Path("images")}, "multiple of 4"),
        ({"fills": 1}, "--fills must be at least 2"),
        ({"observed": 4}, "--observed must be at least 5"),
        ({"class_samples": 19}, "--class-samples must be at least 20"),
        ({"calls": 9}, "two steps of --repeats 5"),
        ({"scales": (1.0,)}, "0 among them"),
        ({"scales": ()}, "--scales needs at least one value"),
        ({"tasks": ()}, "--tasks needs at least one value"),
        ({"step_size": 0.0}, "--step-size must be positive"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)
