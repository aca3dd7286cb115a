"""Distances in fixed features: of whichever networks are at hand, of images in [−1, 1]."""

import numpy as np
import pytest

from experiments.kit import fixed_features
from jaxgen.metrics import frechet_distance
from jaxgen.nets import EfficientNetFeatures


def test_distances_are_those_of_the_networks_at_hand(monkeypatch, tmp_path, capsys):
    """With features that are the mean of each channel of uint8 images."""
    channels = lambda images: images.astype("float32").mean((1, 2))
    monkeypatch.setattr(fixed_features, "efficientnet_lite0", lambda: EfficientNetFeatures(channels, None))
    monkeypatch.setattr(fixed_features, "inception_features", lambda path: lambda images: 2 * channels(images))
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 40, 4, 4, 3)).astype(np.float32)
    found = fixed_features.fixed_distances(a, inception=tmp_path / "weights.pth", batch_size=16)
    assert list(found) == ["FD (EfficientNet-Lite0)", "FID"]
    means = [np.rint((x + 1) * 127.5).mean((1, 2)) for x in (a, b)]
    exact = frechet_distance(*means)
    assert found["FD (EfficientNet-Lite0)"](b) == pytest.approx(exact, rel=1e-3)
    assert found["FID"](b) == pytest.approx(4 * exact, rel=1e-3)

    def missing():
        raise ImportError("no wheel")

    monkeypatch.setattr(fixed_features, "efficientnet_lite0", missing)
    assert fixed_features.fixed_distances(a) == {}
    assert 'pip install "jaxgen[features]"' in capsys.readouterr().out
