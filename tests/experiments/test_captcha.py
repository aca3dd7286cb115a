"""The CAPTCHA experiment: a whole small run, a real folder, its measures on known images, and what it refuses."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from shown import metrics_of

from experiments.captcha import __main__ as captcha
from experiments.captcha import measure, report
from experiments.captcha import recogniser as recognisers
from experiments.captcha import train as training
from experiments.captcha.data import Data, check_texts, load
from experiments.captcha.measure import Captioned, Measured, Unconditional, measure_conditional, measure_unconditional
from experiments.captcha.measure_variety import pairs
from experiments.captcha.recogniser import Recogniser
from experiments.kit.nearest import nearest_images
from experiments.kit.run import BadInput, begin
from jaxgen.data import ImageDataset, decode_texts, render_captchas, to_float
from jaxgen.diffusion import vp
from jaxgen.metrics import MeanAndError
from jaxgen.training import History
from tests.oracles import gaussian_denoiser

SMOKE = captcha.PRESETS["smoke"]


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Without a text", "Seen texts", "Unseen texts", "Novelty", "Diversity", "guidance 2"),
        "real.png loss.png unconditional.png asked-seen.png asked-unseen.png sweep.png nearest.png",
    )
    assert [(row["images"], row["texts"]) for row in metrics["reading"]] == [
        (who, kind) for who in ("real, held out", "guidance 1", "guidance 2") for kind in ("seen", "unseen")
    ]


def test_no_training_image_shows_an_unseen_text():
    config = captcha.Config(alphabet="479", length=2, size=(12, 24), images=400, unseen=3, batch_size=8)
    data = load(config)
    seen, unseen = ({tuple(row) for row in of.labels} for of in (data.train, data.unseen))
    assert len(unseen) == 3
    assert len(seen) == 6
    assert not seen & unseen
    assert {tuple(row) for row in data.held_out.labels} <= seen
    assert [len(data.held_out), len(data.unseen)] == [1000, 1000]


@pytest.mark.slow
def test_no_held_out_image_is_a_training_image():
    data = load(captcha.Config(alphabet="479", length=2, size=(12, 24), images=400, unseen=3, batch_size=8))
    train, held_out, unseen = ({image.tobytes() for image in of.images} for of in data)
    assert not train & held_out
    assert not train & unseen
    assert len(train | held_out | unseen) > 2300  # nor are they one image over and over


def test_real_files_are_split_by_text(tmp_path):
    style = captcha.Config(alphabet="479", length=2, size=(12, 24)).style
    drawn = render_captchas(120, style)
    for i, (image, text) in enumerate(zip(drawn.images, decode_texts(drawn.labels, "479"), strict=True)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{text}_{i}.png")
    data = load(captcha.Config(data=tmp_path, size=(12, 24), batch_size=8, seed=1))
    assert data.train.label_names == tuple("479")
    seen, unseen = ({tuple(row) for row in of.labels} for of in (data.train, data.unseen))
    assert not seen & unseen
    assert len(data.train) + len(data.held_out) + len(data.unseen) == 120


def test_reading_counts_whole_texts_and_characters():
    tokens = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    answers = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])  # right: both, one, none, both
    reading = Recogniser(lambda images: np.log(np.eye(2)[answers] + 1e-9)).reading(np.zeros((4, 1)), tokens)
    assert reading.whole == (0.5, pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2))
    assert reading.characters == (0.625, pytest.approx(np.std([1, 0.5, 0, 1], ddof=1) / 2))
    perfect = Recogniser(lambda images: np.log(np.eye(2)[tokens] + 1e-9)).reading(np.zeros((4, 1)), tokens)
    assert perfect.whole == (1.0, pytest.approx(1 / 8 / 1.25))  # four of four do not show a share of 1: Wilson's
    assert perfect.characters == (1.0, pytest.approx(1 / 16 / 1.125))


@pytest.mark.slow
def test_images_of_one_text_tell_as_much_as_one():
    tokens = np.array([[0, 1], [1, 1], [0, 0], [1, 0]]).repeat(9, axis=0)
    answers = np.array([[0, 1], [1, 0], [1, 1], [1, 0]]).repeat(9, axis=0)
    reading = Recogniser(lambda images: np.log(np.eye(2)[answers] + 1e-9)).reading(np.zeros((36, 1)), tokens)
    assert reading.whole == (0.5, pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2))


def test_pairs_show_the_texts_that_were_asked_for():
    tokens = np.random.default_rng(0).integers(0, 3, (40, 2))
    tokens = tokens[(tokens != [2, 2]).any(-1)]
    tokens = np.concatenate([tokens, [[2, 2]]])  # one image
    texts = np.array([[2, 1], [2, 2], [0, 1], [5, 5]])
    twice, a, b = pairs(tokens, texts)
    np.testing.assert_array_equal(twice, [0, 2])
    np.testing.assert_array_equal(tokens[a], texts[twice])
    np.testing.assert_array_equal(tokens[b], texts[twice])
    assert not np.any(a == b)


HIGH = 25


def drawn(tokens):
    """An image (n, 4, 4, 1) for each of the texts (n, 2) of tokens 0 to 4: the text as 5 a + b in units of 10/255."""
    number = 5 * np.asarray(tokens)[:, 0] + np.asarray(tokens)[:, 1]
    return np.broadcast_to((10 * number)[:, None, None, None], (len(number), 4, 4, 1)).astype(np.uint8)


def read_off(images):
    """What `drawn` shows, as log-probabilities; surer of images whose first pixel is the brighter."""
    number = np.round((np.asarray(images)[:, 1:, 1:].mean((1, 2, 3)) + 1) * 127.5 / 10).astype(int).clip(0, HIGH - 1)
    chances = 0.98 * np.eye(5)[np.stack([number // 5, number % 5], -1)] + 0.004
    extra = 1e-3 * (1 + np.asarray(images)[:, 0, 0])
    return np.log(chances) + extra[..., None]


@pytest.fixture
def known():
    """Twenty texts of training, three images each; four that it does not show; and the reader of both."""
    texts = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
    train, unseen = texts[:20], texts[20:24]

    def images_of(of, times, shift):
        images = drawn(of).repeat(times, axis=0)
        # real images of a text differ by their first pixel
        images[:, 0, 0, 0] = shift + 20 * (np.arange(len(images)) % times)
        return ImageDataset(images, of.repeat(times, axis=0), tuple("abcde"))

    data = Data(images_of(train, 3, 100), images_of(train[:10], 2, 40), images_of(unseen, 2, 40))
    return data, Recogniser(read_off)


class FakeSampler:
    """Draws a known share of the texts, by their kind and scale; what differs between two images is its seed's."""

    def __init__(self, unseen, right):
        self.calls, self._unseen, self._right = [], set(map(tuple, unseen.tolist())), right

    def __call__(self, name, tokens, scale, seed):
        self.calls.append((name, np.array(tokens), scale, seed))
        images = to_float(drawn(tokens))
        for kind in ("seen", "unseen"):
            of = [i for i, text in enumerate(tokens.tolist()) if (tuple(text) in self._unseen) == (kind == "unseen")]
            wrong = of[round(self._right[scale, kind] * len(of)) :]
            images[wrong] = to_float(drawn(np.array([[4, 4]])))
        images[:, 0, 0] = 0.1 * (seed % 7) - 0.5
        return images


CONFIG = SimpleNamespace(requested=40, seed=3, scales=(3.0, 1.0, 2.0), sampling_steps=20, drop_text=0.1, batch_size=8)


def page_of(conditional, sure, tmp_path):
    """The text of the report on these samples of texts, with a share of samples without a text that are sure."""
    shown = conditional.seen.shown
    of = Measured(shown, 60, 20, HISTORY, Unconditional(shown, 0.95, sure), conditional)
    run = begin(captcha.EXERCISE, replace(SMOKE, runs=tmp_path), [])
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", report.write(run, of).read_text()))
    return text.replace("&#34;", '"')


HISTORY = History([{"step": 1, "eval/loss": 2.0}, {"step": 2, "eval/loss": 1.0}])
ALL = {(scale, kind): 1.0 for scale in (1.0, 2.0, 3.0) for kind in ("seen", "unseen")}


def test_texts_to_ask_for(known):
    data = known[0]
    train = {tuple(text) for text in data.train.labels.tolist()}
    asked = measure.requests(data, 45, 0)
    seen, unseen = (list(map(tuple, asked[kind].tolist())) for kind in ("seen", "unseen"))
    assert set(seen) == train
    assert {seen.count(text) for text in seen} == {2}
    assert set(unseen) == {tuple(text) for text in data.unseen.labels.tolist()}
    assert {unseen.count(text) for text in unseen} == {11}
    few = list(map(tuple, measure.requests(data, 12, 0)["seen"].tolist()))
    assert len(set(few)) == len(few) == 12
    assert few != sorted(few)  # not the first ones
    assert set(few) <= train


@pytest.mark.slow
def test_texts_said_to_be_seen_are_of_training_where_held_out_ones_are_not(known):
    """Of a large alphabet hardly any held-out text occurs in training."""
    data = known[0]
    other = Data(data.train, data.unseen, data.unseen)
    asked = measure.requests(other, 20, 0)["seen"]
    assert set(map(tuple, asked.tolist())) <= set(map(tuple, data.train.labels.tolist()))


def test_reading_on_known_answers(known, tmp_path):
    data, recogniser = known
    right = {
        (1.0, "seen"): 0.5, (1.0, "unseen"): 0.75, (2.0, "seen"): 0.9, (2.0, "unseen"): 0.25, (3.0, "seen"): 0.7,
        (3.0, "unseen"): 1.0,
    }  # fmt: skip
    found = measure_conditional(data, recogniser, FakeSampler(data.unseen.labels, right), CONFIG)
    rows = {(row["images"], row["texts"]): row for row in report.reading_rows(found)}
    for kind in ("seen", "unseen"):
        assert rows["real, held out", kind][report.WHOLE].mean == 1
        assert report.OF_REAL not in rows["real, held out", kind]
    for (scale, kind), share in right.items():
        row = rows[f"guidance {scale:g}", kind]
        assert row[report.WHOLE].mean == pytest.approx(share), (scale, kind)
        assert row[report.OF_REAL].mean == pytest.approx(share), (scale, kind)
    assert found.best == 2  # not 3, the best on unseen ones
    assert [(of.images, of.texts, of.real) for of in (found.seen, found.unseen)] == [(40, 20, 20), (40, 4, 8)]
    assert found.known == 1
    text = page_of(found, MeanAndError(0.5, 0.02), tmp_path)
    assert re.search(r"Unseen texts\. At guidance 2, 25\S* ± \S+ % of the images are read as the text asked for", text)
    assert re.search(r"The ratio is 25\S* ± \S+ %, below the mark of 80 %", text)
    assert re.search(r"The ratio is 9\d\S* ± \S+ %, (above|within chance of) the mark of 80 %", text)
    assert "that was tried" not in text
    assert "below that, and less than 80 % of it" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sure", "words"), [(0.95, "is within chance of that."), (0.9, "is below that."), (0.99, "above")]
)
def test_the_text_follows_the_numbers(known, tmp_path, sure, words):
    data, _ = known
    unread = Recogniser(lambda images: np.log(np.full((len(images), 2, 5), 0.2)))  # always the text 00
    held_out = ImageDataset(data.held_out.images, (data.held_out.labels + 1) % 5, data.held_out.label_names)
    found = measure_conditional(
        data._replace(held_out=held_out), unread, FakeSampler(data.unseen.labels, ALL), CONFIG
    )._replace(best=3.0)
    text = page_of(found, MeanAndError(sure, 0.01), tmp_path)
    assert words in text
    assert "So there is nothing to compare with." in text
    assert "It is the largest that was tried" in text


@pytest.mark.slow
def test_ratios_are_to_real_images_of_the_kind(known):
    data, _ = known
    half = data.unseen.images.copy()
    half[:4] = drawn(np.array([[4, 4]]))  # of the unseen texts' real images half are not read
    data = data._replace(unseen=ImageDataset(half, data.unseen.labels, data.unseen.label_names))
    right = dict.fromkeys(ALL, 0.25)
    found = measure_conditional(data, Recogniser(read_off), FakeSampler(data.unseen.labels, right), CONFIG)
    assert found.seen.of_real(2.0).mean == pytest.approx(0.25)
    assert found.unseen.of_real(2.0).mean == pytest.approx(0.5)


@pytest.mark.slow
def test_novelty_and_diversity_on_known_images(known):
    data, recogniser = known
    draw = FakeSampler(data.unseen.labels, ALL)
    found = measure_conditional(data, recogniser, draw, CONFIG)
    assert found.best == 1  # of equally good scales the smallest
    # seeds 3 + 4 and 3 + 5: the first pixel of 16 differs by .1
    _, tokens, _, seeds = zip(*draw.calls[-2:], strict=True)
    assert len(set(seeds)) == 2
    assert seeds[0] not in {seed for *_, seed in draw.calls[:-2]}
    assert len({name for name, *_ in draw.calls}) == len(draw.calls)  # each set has a folder of its own
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert len(np.unique(tokens[0], axis=0)) == len(tokens[0]) == found.diversity.texts == 20
    assert found.diversity.generated.mean == pytest.approx(0.1 / 4, rel=1e-4)
    assert found.diversity.real.mean == pytest.approx(20 / 127.5 / 4, rel=1e-4)  # images 100 and 120 of each text
    asked = measure.requests(data, CONFIG.requested, CONFIG.seed)
    generated = np.concatenate([draw("", asked[kind], 2.0, 6) for kind in ("seen", "unseen")])
    real = to_float(np.concatenate([data.held_out.images, data.unseen.images]))
    train = to_float(data.train.images)
    expected = {"generated": nearest_images(generated, train)[1], "held_out": nearest_images(real, train)[1]}
    assert abs(expected["generated"].mean() - expected["held_out"].mean()) > 0.01
    for of, distances in expected.items():
        assert getattr(found.novelty, of).mean == pytest.approx(distances.mean(), rel=1e-4), of


@pytest.mark.slow
def test_samples_without_a_text_on_known_answers(known):
    """The first pixel says how sure the recogniser is: 12 of the 40 samples are surer than all real images."""
    data, recogniser = known
    scales = []

    def draw(name, tokens, scale, seed):
        scales.append(scale)
        images = to_float(drawn(tokens))
        images[:, 0, 0] = np.where(np.arange(len(images)) < 12, 1, -1)[:, None]
        return images

    found = measure_unconditional(data, recogniser, draw, CONFIG)
    assert scales == [0.0]
    assert found.sure.mean == 12 / 40
    assert isinstance(found.shown, Captioned)
    assert len(found.shown.texts) == len(found.shown.images) == 40


@pytest.mark.slow
def test_real_images_are_as_sure_as_themselves(known):
    """By definition of the threshold 95 % of the held-out images are as sure as 95 % of them."""
    data, _ = known
    images = np.zeros((400, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(400) % 256
    labels = np.zeros((400, 2), int)
    data = data._replace(held_out=ImageDataset(images, labels, data.train.label_names))
    config, rng = SimpleNamespace(requested=400, seed=0), np.random.default_rng(0)
    found = measure_unconditional(data, Recogniser(read_off), lambda *_: to_float(images)[rng.permutation(400)], config)
    assert found.sure.mean == pytest.approx(0.95, abs=0.006)


@pytest.mark.slow
def test_samples_go_from_null_to_the_condition_and_beyond(tmp_path):
    """x0 ~ N(m, .01²) with m = −.4 without a text and .1 times the first token with it."""
    process = vp()

    def denoise(params, clip=None):
        def of(x, t, cond=None):
            mean = jnp.where(cond[:, 0] < 0, -0.4, 0.1 * cond[:, 0])[:, None, None, None]
            return gaussian_denoiser(process, mean, 0.01)(x, t)

        return of

    run = begin(captcha.EXERCISE, replace(SMOKE, runs=tmp_path, progress=False), [])
    model = SimpleNamespace(process=process, params=None, shape=(4, 4, 1), denoise=denoise)
    draw = training.TextSampler(run, model, 15)
    tokens = np.array([[0, 3], [3, 1], [5, 0]])
    for scale, means in ((0.0, [-0.4] * 3), (1.0, [0.0, 0.3, 0.5]), (1.5, [0.2, 0.65, 0.95]), (2.0, [0.4, 1.0, 1.0])):
        found = draw(str(scale), tokens, scale, 0).mean((1, 2, 3))
        np.testing.assert_allclose(found, means, atol=0.03, err_msg=str(scale))
    same, other = draw("a", tokens, 1.0, 0), draw("b", tokens, 1.0, 1)
    np.testing.assert_array_equal(same, draw("c", tokens, 1.0, 0))
    assert np.abs(same - other).mean() > 1e-3


class Stop(Exception):
    """Raised in place of training."""


@pytest.mark.slow
def test_what_the_networks_are_trained_on(monkeypatch, tmp_path):
    got = {}

    def train_reader(run, name, net, images, labels, *, steps):
        got["recogniser"] = images, labels

    def train(run, name, net, process, steps, seed, images, held_out, *, conditions, drop):
        got["model"] = net, process, images, held_out, conditions, drop
        raise Stop

    monkeypatch.setattr(recognisers, "train_reader", train_reader)
    monkeypatch.setattr(training, "train", train)
    config = replace(SMOKE, runs=tmp_path, progress=False, drop_text=0.17)
    with pytest.raises(Stop):
        captcha.main(config)
    data = load(config)
    net, process, images, held_out, conditions, drop = got["model"]
    np.testing.assert_array_equal(images, data.train.images)
    np.testing.assert_allclose(got["recogniser"][0], data.train.images / 127.5 - 1, atol=1e-6)
    for found in (got["recogniser"][1], conditions[0]):
        np.testing.assert_array_equal(found, data.train.labels)
    np.testing.assert_array_equal(held_out, data.held_out.images[:256])
    np.testing.assert_array_equal(conditions[1], data.held_out.labels[:256])
    assert process is None  # EDM's objective
    assert drop == 0.17
    assert (net.num_tokens, net.sequence_length) == (2, 2)


def test_images_of_one_text_are_refused_before_anything_is_made(tmp_path):
    alike = ImageDataset(np.zeros((9, 12, 24, 1), np.uint8), np.ones((9, 2), np.int64), tuple("47"))
    with pytest.raises(ValueError, match="every image shows the same text"):
        check_texts(alike)
    with pytest.raises(BadInput, match="every image shows the same text"):
        recognisers.train_recogniser(None, alike, steps=1)
    # one text for training, the other is kept for the unseen ones
    for i, text in enumerate(["44"] * 10 + ["77"] * 10):
        Image.fromarray(np.full((12, 24), 10 * i, np.uint8)).save(tmp_path / f"{text}_{i}.png")
    config = replace(SMOKE, data=tmp_path, batch_size=2, runs=tmp_path / "runs")
    messages = set()
    for seed in range(60):
        with pytest.raises(BadInput) as refused:
            captcha.main(replace(config, seed=seed))
        messages.add(str(refused.value)[:36])
    assert "every image shows the same text, so " in messages
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 300}, "--batch-size 300 exceeds the 200 training images"),
        ({"length": 0}, "length"),
        ({"length": 1, "alphabet": "4"}, "leave some to draw"),
        ({"alphabet": "44"}, "alphabet"),
        ({"alphabet": ""}, "alphabet"),
        ({"unseen": 4}, "leave some to draw"),
        ({"size": (4, 8)}, "size"),
    ],
)
def test_data_are_refused_before_training(changes, message):
    with pytest.raises(ValueError, match=message):
        load(replace(SMOKE, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requested": 5}, "--requested must be at least 20"),
        ({"scales": (0.0,)}, "must be positive"),
        ({"scales": ()}, "--scales needs at least one value"),
        ({"drop_text": 0.0}, "guidance needs the model with and without"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"unseen": 0}, "--unseen must be at least 1"),
        ({"data": Path("texts"), "dots": 3, "images": 10}, "--dots and --images with --data"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(captcha.Config(), **changes)


@pytest.mark.parametrize("preset", captcha.PRESETS)
def test_files_may_be_given_with_every_preset(preset):
    assert replace(captcha.PRESETS[preset], data=Path("texts")).size == captcha.PRESETS[preset].size


def test_a_network_that_does_not_fit_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(BadInput, match="cross_attention_levels"):
        captcha.main(replace(SMOKE, cross_attention=(-3,), runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
