"""The CAPTCHA experiment: a whole small run, a real folder, its measures on known images, and what it refuses."""

import re
from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from shown import metrics_of

from experiments import captcha, captcha_reader
from experiments import captcha_report as figures
from experiments import captcha_variety as variety
from experiments.captcha_reader import Reader, Reading
from jaxgen.data import ImageDataset, decode_texts, render_captchas, to_float
from jaxgen.diffusion import vp
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report
from tests.oracles import gaussian_denoiser


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Without a text", "Reading", "Novelty", "Diversity", "the mark of 80%"),
        "real.png loss.png unconditional.png asked-seen.png asked-unseen.png sweep.png nearest.png",
    )
    assert [(row["images"], row["texts"]) for row in metrics["reading"]] == [
        (who, kind) for who in ("real, held out", "guidance 1", "guidance 2") for kind in ("seen", "unseen")
    ]


def test_no_training_image_shows_an_unseen_text():
    config = captcha.Config(alphabet="479", length=2, size=(12, 24), images=400, unseen=3, batch_size=8)
    data = captcha.load(config)
    seen, unseen = ({tuple(row) for row in of.labels} for of in (data.train, data.unseen))
    assert len(unseen) == 3
    assert len(seen) == 6
    assert not seen & unseen
    assert {tuple(row) for row in data.held_out.labels} <= seen
    assert [len(data.held_out), len(data.unseen)] == [1000, 1000]


@pytest.mark.slow
def test_no_held_out_image_is_a_training_image():
    data = captcha.load(captcha.Config(alphabet="479", length=2, size=(12, 24), images=400, unseen=3, batch_size=8))
    train, held_out, unseen = ({image.tobytes() for image in of.images} for of in data)
    assert not train & held_out
    assert not train & unseen
    assert len(train | held_out | unseen) > 2300  # nor are they one image over and over


def test_real_files_are_split_by_text(tmp_path):
    style = captcha.Config(alphabet="479", length=2, size=(12, 24)).style
    drawn = render_captchas(120, style)
    for i, (image, text) in enumerate(zip(drawn.images, decode_texts(drawn.labels, "479"), strict=True)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{text}_{i}.png")
    data = captcha.load(captcha.Config(data=tmp_path, size=(12, 24), batch_size=8, seed=1))
    assert data.train.label_names == tuple("479")
    seen, unseen = ({tuple(row) for row in of.labels} for of in (data.train, data.unseen))
    assert not seen & unseen
    assert len(data.train) + len(data.held_out) + len(data.unseen) == 120


def test_reading_counts_whole_texts_and_characters():
    tokens = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    answers = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])  # right: both, one, none, both
    reading = Reader(lambda images: np.log(np.eye(2)[answers] + 1e-9)).reads(np.zeros((4, 1)), tokens)
    assert reading.whole == (0.5, pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2))
    assert reading.characters == (0.625, pytest.approx(np.std([1, 0.5, 0, 1], ddof=1) / 2))
    perfect = Reader(lambda images: np.log(np.eye(2)[tokens] + 1e-9)).reads(np.zeros((4, 1)), tokens)
    assert perfect.whole == (1.0, pytest.approx(1 / 8 / 1.25))  # four of four do not show a share of 1: Wilson's
    assert perfect.characters == (1.0, pytest.approx(1 / 16 / 1.125))


@pytest.mark.slow
def test_images_of_one_text_tell_as_much_as_one():
    tokens = np.array([[0, 1], [1, 1], [0, 0], [1, 0]]).repeat(9, axis=0)
    answers = np.array([[0, 1], [1, 0], [1, 1], [1, 0]]).repeat(9, axis=0)
    reading = Reader(lambda images: np.log(np.eye(2)[answers] + 1e-9)).reads(np.zeros((36, 1)), tokens)
    assert reading.whole == (0.5, pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2))


@pytest.mark.slow
def test_nothing_is_in_parts_of_real_images_that_are_not_read():
    unread = Reading(MeanAndError(0.0, 0.01), MeanAndError(0.95, 0.01))
    assert figures._ratio(unread, unread) is None
    assert figures._row("guidance 1", "seen", unread, unread)[figures.OF_REAL] is None
    assert "no real image is read" in figures._verdict(unread, unread)


def test_the_error_of_a_ratio_of_shares_by_monte_carlo():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.6, 0.02, 20_000) / rng.normal(0.9, 0.03, 20_000)
    whole = (
        Reading(MeanAndError(0.6, 0.02), MeanAndError(0.6, 0.02)),
        Reading(MeanAndError(0.9, 0.03), MeanAndError(0.9, 0.03)),
    )
    found = figures._ratio(*whole)
    assert found.mean == pytest.approx(2 / 3)
    assert found.error == pytest.approx(drawn.std(), rel=0.03)


@pytest.mark.slow
def test_only_the_ends_of_several_scales_are_said_to_be_ends():
    assert "tried" in figures._picked(3.0, (1.0, 3.0, 2.0))
    assert "tried" in figures._picked(1.0, (1.0, 3.0, 2.0))
    assert "tried" not in figures._picked(2.0, (1.0, 3.0, 2.0))
    assert "tried" not in figures._picked(2.0, (2.0,))


def test_nearest_image_and_its_distance():
    rng = np.random.default_rng(0)
    others = rng.normal(size=(50, 4, 5, 1)).astype(np.float32)
    images = others[[7, 3]] + 0.1
    index, distance = variety.nearest(images, others)
    np.testing.assert_array_equal(index, [7, 3])
    np.testing.assert_allclose(distance, 0.1, rtol=1e-5)


def test_pairs_show_the_texts_that_were_asked_for():
    tokens = np.random.default_rng(0).integers(0, 3, (40, 2))
    tokens = tokens[(tokens != [2, 2]).any(-1)]
    tokens = np.concatenate([tokens, [[2, 2]]])  # one image
    texts = np.array([[2, 1], [2, 2], [0, 1], [5, 5]])
    twice, a, b = variety.pairs(tokens, texts)
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

    data = captcha.Data(images_of(train, 3, 100), images_of(train[:10], 2, 40), images_of(unseen, 2, 40))
    return data, Reader(read_off)


class FakeWriter:
    """Writes a known share of the texts, by their kind and scale; what differs between two images is its seed's."""

    def __init__(self, unseen, right):
        self.calls, self._unseen, self._right = [], set(map(tuple, unseen.tolist())), right

    def __call__(self, tokens, scale, seed):
        self.calls.append((np.array(tokens), scale, seed))
        images = to_float(drawn(tokens))
        for kind in ("seen", "unseen"):
            of = [i for i, text in enumerate(tokens.tolist()) if (tuple(text) in self._unseen) == (kind == "unseen")]
            wrong = of[round(self._right[scale, kind] * len(of)) :]
            images[wrong] = to_float(drawn(np.array([[4, 4]])))
        images[:, 0, 0] = 0.1 * (seed % 7) - 0.5
        return images


CONFIG = SimpleNamespace(requested=40, seed=3, scales=(3.0, 1.0, 2.0), sampling_steps=20)


def report():
    return Report("title", "question", "command")


def text_of(of, tmp_path):
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", of.save(tmp_path).read_text()))


def test_texts_to_ask_for(known):
    data = known[0]
    train = {tuple(text) for text in data.train.labels.tolist()}
    asked = figures.requests(data, 45, 0)
    seen, unseen = (list(map(tuple, asked[kind].tolist())) for kind in ("seen", "unseen"))
    assert set(seen) == train
    assert {seen.count(text) for text in seen} == {2}
    assert set(unseen) == {tuple(text) for text in data.unseen.labels.tolist()}
    assert {unseen.count(text) for text in unseen} == {11}
    few = list(map(tuple, figures.requests(data, 12, 0)["seen"].tolist()))
    assert len(set(few)) == len(few) == 12
    assert few != sorted(few)  # not the first ones
    assert set(few) <= train


@pytest.mark.slow
def test_texts_said_to_be_seen_are_of_training_where_held_out_ones_are_not(known):
    """Of a large alphabet hardly any held-out text occurs in training."""
    data = known[0]
    other = captcha.Data(data.train, data.unseen, data.unseen)
    asked = figures.requests(other, 20, 0)["seen"]
    assert set(map(tuple, asked.tolist())) <= set(map(tuple, data.train.labels.tolist()))


def test_reading_on_known_answers(known, tmp_path):
    data, reader = known
    right = {
        (1.0, "seen"): 0.5, (1.0, "unseen"): 0.75, (2.0, "seen"): 0.9, (2.0, "unseen"): 0.25, (3.0, "seen"): 0.7,
        (3.0, "unseen"): 1.0,
    }  # fmt: skip
    write, page = FakeWriter(data.unseen.labels, right), report()
    figures.conditional(page, data, reader, write, CONFIG)
    rows = {(row["images"], row["texts"]): row for row in page.metrics["reading"]}
    for kind in ("seen", "unseen"):
        assert rows["real, held out", kind][figures.WHOLE][0] == 1
        assert figures.OF_REAL not in rows["real, held out", kind]
    for (scale, kind), share in right.items():
        row = rows[f"guidance {scale:g}", kind]
        assert row[figures.WHOLE][0] == pytest.approx(share), (scale, kind)
        assert row[figures.OF_REAL][0] == pytest.approx(share), (scale, kind)
    text = text_of(page, tmp_path)
    assert "Reading at guidance 2, picked by the share of seen texts" in text  # not 3, the best on unseen ones
    assert re.search(r"seen texts 90\.\d* ± \S+%, 90\.\d* ± \S+% of the 100\.0% of real images", text)
    assert re.search(
        r"unseen texts 25\.0 ± \S+%, 25\.0 ± \S+% of the 100\.0% of real images, which surely misses the mark", text
    )
    assert "40 images of 20 different texts that training images show and 40 of 4 that none does" in text
    assert "20 of texts drawn as those of the training images, which show 100% of them, and 8 of texts" in text


@pytest.mark.slow
def test_ratios_are_to_real_images_of_the_kind(known):
    data, _ = known
    half = data.unseen.images.copy()
    half[:4] = drawn(np.array([[4, 4]]))  # of the unseen texts' real images half are not read
    data = data._replace(unseen=ImageDataset(half, data.unseen.labels, data.unseen.label_names))
    right = {(scale, kind): 0.25 for scale in (1.0, 2.0, 3.0) for kind in ("seen", "unseen")}
    page = report()
    figures.conditional(page, data, Reader(read_off), FakeWriter(data.unseen.labels, right), CONFIG)
    rows = {(row["images"], row["texts"]): row for row in page.metrics["reading"]}
    assert rows["guidance 2", "seen"][figures.OF_REAL][0] == pytest.approx(0.25)
    assert rows["guidance 2", "unseen"][figures.OF_REAL][0] == pytest.approx(0.5)


@pytest.mark.slow
def test_novelty_and_diversity_on_known_images(known):
    data, reader = known
    right = {(scale, kind): 1.0 for scale in (1.0, 2.0, 3.0) for kind in ("seen", "unseen")}
    write, page = FakeWriter(data.unseen.labels, right), report()
    figures.conditional(page, data, reader, write, CONFIG)
    # seeds 3 + 4 and 3 + 5: the first pixel of 16 differs by .1
    tokens, _, seeds = zip(*write.calls[-2:], strict=True)
    assert len(set(seeds)) == 2
    assert seeds[0] not in {seed for _, _, seed in write.calls[:-2]}
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert len(np.unique(tokens[0], axis=0)) == len(tokens[0]) == 20
    found = page.metrics["diversity"]
    assert found["generated"][0] == pytest.approx(0.1 / 4, rel=1e-4)
    assert found["real"][0] == pytest.approx(20 / 127.5 / 4, rel=1e-4)  # images 100 and 120 of each text
    asked = figures.requests(data, CONFIG.requested, CONFIG.seed)
    written = np.concatenate([write(asked[kind], 2.0, 6) for kind in ("seen", "unseen")])
    real = to_float(np.concatenate([data.held_out.images, data.unseen.images]))
    train = to_float(data.train.images)
    expected = {"generated": variety.nearest(written, train)[1], "held out": variety.nearest(real, train)[1]}
    assert abs(expected["generated"].mean() - expected["held out"].mean()) > 0.01
    for of, distances in expected.items():
        assert page.metrics["novelty"][of][0] == pytest.approx(distances.mean(), rel=1e-4), of


@pytest.mark.slow
@pytest.mark.parametrize(("sure", "told"), [(12, "are weak"), (32, "fall short"), (40, "as real images do")])
def test_samples_without_a_text_on_known_answers(known, tmp_path, sure, told):
    """The first pixel says how sure the reader is: of the writer's images `sure` of 40 are surer than all real ones."""
    data, reader = known
    scales = []

    def write(tokens, scale, seed):
        scales.append(scale)
        images = to_float(drawn(tokens))
        images[:, 0, 0] = np.where(np.arange(len(images)) < sure, 1, -1)[:, None]
        return images

    page = report()
    figures.unconditional(page, data, reader, write, CONFIG)
    assert scales == [0.0]
    assert page.metrics["unconditional"]["as sure as 95 % of real"][0] == sure / 40
    assert told in text_of(page, tmp_path)


@pytest.mark.slow
def test_real_images_are_as_sure_as_themselves(known):
    """By definition of the threshold 95 % of the held-out images are as sure as 95 % of them."""
    data, _ = known
    images = np.zeros((400, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(400) % 256
    labels = np.zeros((400, 2), int)
    data = data._replace(held_out=ImageDataset(images, labels, data.train.label_names))
    page, config = report(), SimpleNamespace(requested=400, seed=0)
    rng = np.random.default_rng(0)
    figures.unconditional(
        page, data, Reader(read_off), lambda tokens, scale, seed: to_float(images)[rng.permutation(400)], config
    )
    assert page.metrics["unconditional"]["as sure as 95 % of real"][0] == pytest.approx(0.95, abs=0.006)


@pytest.mark.slow
def test_the_writer_goes_from_null_to_the_condition_and_beyond():
    """x0 ~ N(m, .01²) with m = −.4 without a text and .1 times the first token with it."""
    process = vp()

    def denoise(params, clip=None):
        def of(x, t, cond=None):
            mean = jnp.where(cond[:, 0] < 0, -0.4, 0.1 * cond[:, 0])[:, None, None, None]
            return gaussian_denoiser(process, mean, 0.01)(x, t)

        return of

    write = figures.Writer(SimpleNamespace(process=process, params=None, shape=(4, 4, 1), denoise=denoise), 15)
    tokens = np.array([[0, 3], [3, 1], [5, 0]])
    for scale, means in ((0.0, [-0.4] * 3), (1.0, [0.0, 0.3, 0.5]), (1.5, [0.2, 0.65, 0.95]), (2.0, [0.4, 1.0, 1.0])):
        found = write(tokens, scale, 0).mean((1, 2, 3))
        np.testing.assert_allclose(found, means, atol=0.03, err_msg=str(scale))
    same, other = write(tokens, 1.0, 0), write(tokens, 1.0, 1)
    np.testing.assert_array_equal(same, write(tokens, 1.0, 0))
    assert np.abs(same - other).mean() > 1e-3


class Stop(Exception):
    """Raised in place of training."""


@pytest.mark.slow
def test_what_the_networks_are_trained_on(monkeypatch, tmp_path):
    got = {}

    def train_recogniser(images, **settings):
        got["reader"] = images

    def train(config, net, process, steps, seed, images, held_out, directory, *, conditions, drop):
        got["model"] = net, process, images, held_out, conditions, drop
        raise Stop

    monkeypatch.setattr(captcha, "train_recogniser", train_recogniser)
    monkeypatch.setattr(captcha, "train", train)
    config = replace(captcha.PRESETS["smoke"], runs=tmp_path, progress=False, drop_text=0.17)
    with pytest.raises(Stop):
        captcha.main(config)
    data = captcha.load(config)
    net, process, images, held_out, conditions, drop = got["model"]
    for found in (got["reader"].images, images):
        np.testing.assert_array_equal(found, data.train.images)
    for found in (got["reader"].labels, conditions[0]):
        np.testing.assert_array_equal(found, data.train.labels)
    np.testing.assert_array_equal(held_out, data.held_out.images[:256])
    np.testing.assert_array_equal(conditions[1], data.held_out.labels[:256])
    assert process is None  # EDM's objective
    assert drop == 0.17
    assert (net.num_tokens, net.sequence_length) == (2, 2)


@pytest.mark.slow
def test_the_recogniser_learns_the_images_and_texts_it_is_given(monkeypatch):
    got = {}

    def train_reader(net, images, labels, **settings):
        got.update(images=images, labels=labels)

    monkeypatch.setattr(captcha_reader, "train_reader", train_reader)
    train = captcha.load(captcha.PRESETS["smoke"]).train
    captcha_reader.train_recogniser(train, steps=1, seed=0)
    np.testing.assert_allclose(got["images"], train.images / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(got["labels"], train.labels)


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
        captcha.load(replace(captcha.PRESETS["smoke"], **changes))
