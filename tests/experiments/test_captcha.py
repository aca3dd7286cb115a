"""The CAPTCHA experiment: a whole small run, a real folder, its measures on known images, and what it refuses."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from experiments import captcha
from experiments import captcha_report as figures
from experiments.captcha_reader import Reader, Reading
from jaxgen.data import decode_texts, render_captchas
from jaxgen.metrics import Estimate


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    captcha.main(replace(captcha.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "captcha").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("Without a text", "Reading", "Novelty", "Diversity", "the mark of 80%"):
        assert words in page, words
    assert {file.name for file in (finished / "figures").iterdir()} == {
        "real.png", "loss.png", "unconditional.png", "asked-seen.png", "asked-unseen.png", "sweep.png", "nearest.png",
    }  # fmt: skip
    metrics = json.loads((finished / "metrics.json").read_text())
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
    assert {tuple(row) for row in data.seen.labels} <= seen


def test_real_files_are_split_by_text(tmp_path):
    style = captcha.Config(alphabet="479", length=2, size=(12, 24)).style
    drawn = render_captchas(120, style)
    for i, (image, text) in enumerate(zip(drawn.images, decode_texts(drawn.labels, "479"), strict=True)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{text}_{i}.png")
    data = captcha.load(captcha.Config(data=tmp_path, size=(12, 24), batch_size=8, seed=1))
    assert data.train.label_names == tuple("479")
    seen, unseen = ({tuple(row) for row in of.labels} for of in (data.train, data.unseen))
    assert not seen & unseen
    assert len(data.train) + len(data.seen) + len(data.unseen) == 120


def test_reading_counts_whole_texts_and_characters():
    tokens = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    answers = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])  # right: both, one, none, both
    reading = Reader(lambda images: np.log(np.eye(2)[answers] + 1e-9)).reads(np.zeros((4, 1)), tokens)
    assert reading.whole == (0.5, 0.25)  # sqrt(.5 · .5 / 4)
    assert reading.characters.mean == 0.625
    perfect = Reader(lambda images: np.log(np.eye(2)[tokens] + 1e-9)).reads(np.zeros((4, 1)), tokens)
    assert perfect.whole == (1.0, 0.25)  # four of four do not show a share of 1


def test_the_mark_is_held_against_real_images():
    real = Reading(Estimate(0.9, 0.01), Estimate(0.95, 0.01))
    assert "meets the mark" in figures._of_real(Reading(Estimate(0.73, 0.01), real.characters), real)
    assert "misses the mark" in figures._of_real(Reading(Estimate(0.71, 0.01), real.characters), real)


def test_nearest_image_and_its_distance():
    rng = np.random.default_rng(0)
    others = rng.normal(size=(50, 4, 5, 1)).astype(np.float32)
    images = others[[7, 3]] + 0.1
    index, distance = figures.nearest(images, others)
    np.testing.assert_array_equal(index, [7, 3])
    np.testing.assert_allclose(distance, 0.1, rtol=1e-5)


def test_pairs_show_one_text_each():
    tokens = np.random.default_rng(0).integers(0, 3, (40, 2))
    a, b = figures.pairs(tokens, 100)
    np.testing.assert_array_equal(tokens[a], tokens[b])
    assert not np.any(a == b)
    count = np.unique(tokens, axis=0, return_counts=True)[1]
    assert len(a) == np.sum(count > 1) == len(np.unique(tokens[a], axis=0))
    assert len(figures.pairs(tokens, 2)[0]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requested": 5}, "20 texts"),
        ({"scales": (0.0,)}, "must be positive"),
        ({"drop_text": 0.0}, "guidance needs both"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        captcha.Config(**changes)
