"""The exercise on transformers: a whole small run, its equal terms, its measures against closed forms, and refusals."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import findings_of, metrics_of

from experiments.kit import images
from experiments.kit.run import BadInput, begin
from experiments.kit.score_model import Model
from experiments.transformer import EXERCISE, measure, report, train
from experiments.transformer import __main__ as transformer
from experiments.transformer.config import PRESETS, Config
from experiments.transformer.train import DIT, EQUAL_TIME, UNET, Trained, build, seconds_per_step, train_all
from jaxgen.data import render_sprites
from jaxgen.diffusion import vp
from jaxgen.metrics import mean_and_error
from jaxgen.report import table
from jaxgen.training import History

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")
SMOKE = replace(PRESETS["smoke"], progress=False)


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("At equal steps", "At equal seconds", "Right class", "The two networks"),
        "data.png loss-by-step.png loss-by-second.png errors.png samples.png",
    )
    steps = {row["network"]: row["steps"] for row in metrics["quality"]}
    assert list(steps) == [UNET, DIT, EQUAL_TIME]
    assert steps[UNET] == steps[DIT] == 6
    seconds = metrics["seconds_per_step"]
    assert steps[EQUAL_TIME] == max(1, round(6 * seconds[UNET] / seconds[DIT]))


@pytest.mark.slow
def test_grey_images_without_labels_run_too(tmp_path):
    np.save(tmp_path / "images.npy", render_sprites(300, 1).images[..., :1])
    page = transformer.main(replace(SMOKE, data=tmp_path / "images.npy", runs=tmp_path, fully_sharded=True))
    assert "trained on the rendered sprites" in page.read_text()
    assert "Right class" not in page.read_text()


def test_both_networks_have_about_as_many_parameters():
    shape, config = (1, 16, 16, 3), PRESETS["default"]
    counts = []
    for net in (config.unet(num_classes=5), config.dit(num_classes=5)):
        shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(1))
        counts.append(sum(leaf.size for leaf in jax.tree.leaves(shapes)))
    assert counts[1] == pytest.approx(counts[0], rel=0.05)


def test_equal_terms(monkeypatch, tmp_path):
    """The transformer's second training takes as many steps as fit into the U-Net's seconds."""
    trained = []
    monkeypatch.setattr(train, "seconds_per_step", lambda *args: {UNET: 0.3, DIT: 0.2})
    monkeypatch.setattr(train, "train_one", lambda run, name, net, data, steps, seconds: trained.append(
        (name, net, steps, steps * seconds)))  # fmt: skip
    train_all(begin(EXERCISE, replace(SMOKE, runs=tmp_path), []), {UNET: "u", DIT: "d"}, None)
    assert [(name, net, steps) for name, net, steps, _ in trained] == [
        (UNET, "u", 6), (DIT, "d", 6), (EQUAL_TIME, "d", 9)
    ]  # fmt: skip
    assert trained[0][3] == pytest.approx(trained[2][3])


@pytest.mark.slow
def test_a_network_of_more_work_takes_more_seconds(monkeypatch):
    config = replace(SMOKE, dit_width=64, dit_depth=8, timed_steps=2)
    data = images.load(config)
    large = build(config, data)[DIT]
    found = seconds_per_step(config, {"small": large.clone(depth=1), "large": large}, data)
    assert found["large"] > 1.5 * found["small"] > 0


class Zero(nn.Module):
    """A network whose output is 0: the preconditioned denoiser is then exact for images of N(0, σ_data²)."""

    @nn.compact
    def __call__(self, x, t, cond=None):
        return self.param("nothing", nn.initializers.zeros, ()) * x


def test_errors_by_noise_level_are_those_of_the_posterior():
    std, n = 0.4, 256
    x = np.random.default_rng(0).normal(0, std, (n, 4, 4, 3)).astype(np.float32)
    params = {"params": {"nothing": jnp.zeros(())}}
    found = measure.denoising_errors(Model(vp(), Zero(), params, std, (4, 4, 3), None), x)
    variance = measure.NOISE_LEVELS**2
    np.testing.assert_allclose(found, std**2 * variance / (std**2 + variance), rtol=5 * (2 / x.size) ** 0.5)


def test_samples_of_an_exact_denoiser_have_the_variance_of_the_data():
    std = 0.2
    params = {"params": {"nothing": jnp.zeros(())}}
    model = Model(vp(), Zero(), params, std, (8, 8, 3), None)
    drawn = measure.sampler(model, 20)(params, jax.random.split(jax.random.key(0), 40), None)
    assert float(drawn.std()) == pytest.approx(std, rel=0.05)


def network(distances, steps=6, seconds=0.1, loss=0.5):
    """A network with these distances; the rest is made up."""
    history = History([{"step": steps, "eval/loss": loss}])
    return measure.Network(
        1_200_000, steps, seconds, steps * seconds, history, np.ones(12), np.array(distances),
        mean_and_error(np.array(distances)), None, 2.0, np.zeros((12, 4, 4, 3)),
    )  # fmt: skip


def test_the_findings_follow_the_numbers():
    networks = {
        UNET: network([3.0, 3.1, 3.2]),
        DIT: network([5.0, 5.1, 5.3], seconds=0.05),
        EQUAL_TIME: network([2.9, 3.2, 3.2], steps=12, seconds=0.05),
    }
    measured = measure.Measured("rendered", np.zeros((60, 4, 4, 3)), 100, 1.0, "labels", np.ones(12), networks, 64)
    tables = dict.fromkeys(("quality", "cost"), table([{"method": "none"}]))
    steps, seconds, cost = findings_of(report, Config(), measured, tables)
    assert "the transformer is worse beyond chance" in steps
    assert "takes 12 steps" in seconds
    assert "which is not different beyond chance" in seconds
    assert "takes 50 % of the U-Net's time" in cost
    assert report.figures(measured).keys() == {"data", "loss-by-step", "loss-by-second", "samples", "errors"}
    assert "right class" not in report.quality_rows(measured)[0]


def test_what_a_network_took_is_steps_times_their_seconds():
    assert Trained(None, 1, 20, 0.5).seconds == 10


def test_images_that_the_transformer_cannot_take_are_refused_before_a_run(tmp_path):
    np.save(tmp_path / "images.npy", render_sprites(60, 0).images[:, :15, :15])
    config = replace(SMOKE, data=tmp_path / "images.npy", size=15)
    with pytest.raises(BadInput, match="blocks of 2×2 pixels do not fill an image of 15×15"):
        build(config, images.load(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sets": 1}, "--sets must be at least 2 for an error bar"),
        ({"samples": 9}, "--samples must be at least 10"),
        ({"dit_learning_rate": 0.0}, "--dit-learning-rate must be positive"),
        ({"drop_label": 1.0}, "--drop-label is a share"),
        ({"timed_steps": 0}, "--timed-steps must be at least 1"),
        ({"dit_depth": 0}, "--dit-depth must be at least 1"),
        ({"dit_width": 90}, "--dit-width 90 must be a multiple of --dit-heads 4 and 4"),
        ({"dit_attention": "cudnn"}, "--dit-attention cudnn computes in half precision: add --dtype bfloat16"),
    ],
)
def test_bad_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)
