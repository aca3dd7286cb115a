"""The images of an experiment: splits, labels that say nothing, grey scans, and models that are loaded again."""

from dataclasses import replace

import numpy as np
import pytest
from some_exercise import SOME

from experiments.kit import classifier, images
from experiments.kit.config import ImageConfig
from experiments.kit.images import Images
from experiments.kit.run import BadInput, begin
from jaxgen.data import render_sprites, to_float
from jaxgen.nets import UNet

SPRITES = render_sprites(60, 0)
CONFIG = ImageConfig(batch_size=8, images=300, progress=False)


def run_in(path):
    return begin(SOME, replace(CONFIG, runs=path), [])


def test_labels_of_one_class_are_dropped(tmp_path, capsys):
    alike = replace(SPRITES, labels=np.zeros(60, np.int64))
    data = images.split(alike, CONFIG)
    assert data.train.labels is data.held_out.labels is None
    assert "every image has the same label" in capsys.readouterr().out
    with pytest.raises(BadInput, match="all of one class"):
        classifier.train_classifier(run_in(tmp_path), alike, alike, steps=1)


def test_the_share_that_is_held_out():
    data = images.split(SPRITES, CONFIG, 0.5)
    assert len(data.train) + len(data.held_out) == 60
    assert abs(len(data.held_out) - 30) <= 4 * (60 / 4) ** 0.5  # four standard deviations


def test_a_class_that_is_held_out_whole_is_refused_before_training(monkeypatch):
    rare = replace(SPRITES, labels=(np.arange(60) == 0).astype(np.int64), label_names=())

    def without_the_rare(dataset, share, seed):
        return dataset.take(dataset.labels == 0), dataset.take(dataset.labels == 1)

    monkeypatch.setattr(images, "split_by_content", without_the_rare)
    with pytest.raises(ValueError, match="training images are all of one class"):
        images.split(rare, CONFIG)


def test_unlabelled_images_of_other_channels_are_refused():
    with_alpha = np.concatenate([SPRITES.images, SPRITES.images[..., :1]], axis=-1)
    with pytest.raises(ValueError, match="1 or 3 channels to be measured, got 4"):
        images.split(replace(SPRITES, labels=None, label_names=(), images=with_alpha), CONFIG)


@pytest.mark.slow
def test_grey_images_without_labels_are_seen_as_grey_colours(tmp_path):
    grey = replace(SPRITES, labels=None, label_names=(), images=SPRITES.images[..., :1])
    data = images.split(grey, CONFIG)
    found = classifier.train_classifier(run_in(tmp_path), data.train, data.held_out, steps=1)
    assert found.trained_on == "the rendered sprites"
    shown = data.train.images[:4]
    assert found.features(shown).shape == (4, 64)


def test_floats_take_the_range_that_is_given(tmp_path):
    file = tmp_path / "floats.npy"
    np.save(file, SPRITES.images.astype(np.float32))
    with pytest.raises(BadInput, match="add --value-range LOW HIGH"):
        images.load(replace(CONFIG, data=file))
    data = images.load(replace(CONFIG, data=file, value_range=(0.0, 255.0)))
    both = np.concatenate([data.train.images, data.held_out.images])
    assert {x.tobytes() for x in both} == {x.tobytes() for x in to_float(SPRITES.images)}


def test_a_model_is_described_for_those_who_load_it(tmp_path):
    run, data = run_in(tmp_path), Images(SPRITES, SPRITES)
    images.describe(run, data)
    found = images.read_description(run.directory)
    assert found == ((16, 16, 3), 5, tuple(SPRITES.label_names), (0, 1, 2, 3, 4))
    with pytest.raises(BadInput, match="holds no run whose model can be loaded"):
        images.read_description(tmp_path)


def test_a_network_that_does_not_fit_is_refused_before_a_run_begins():
    small = replace(SPRITES, images=to_float(SPRITES.images[:, :2, :2]))
    with pytest.raises(BadInput, match="use fewer multipliers"):
        images.fitting(UNet(8, (1, 1, 1)), Images(small, small))
