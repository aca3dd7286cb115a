"""Game sprites with DDPM and DDIM: train a diffusion model on 16×16 images, sample it both ways, compare them.

Exercise 1 of the homework on DDPM, DDIM and score-based models: one-shot perturbation, ε-MSE training of a conditional
U-Net under a linear β schedule, 50 samples of each kind, what the noise z is for, and quality against wall time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import launch
from experiments.features import Judge, train_judge
from jaxgen.data import Batches, ImageDataset, load_images, render_sprites, split_by_content, to_float
from jaxgen.diffusion import GaussianProcess, denoiser, denoising_loss, discrete, linear_betas, perturb, transition
from jaxgen.diffusion.times import subset_grid
from jaxgen.metrics import frechet_distance, precision_recall
from jaxgen.nets import ContextUNet, UNet
from jaxgen.report import Report, animate, curves, image_grid, panels, strip, tradeoff
from jaxgen.samplers import Sampler, ddim, ddpm, sample
from jaxgen.training import Checkpoints, History, create_state, fit, make_train_step, warmup_ema


@dataclass(frozen=True)
class Config:
    """Train a diffusion model on sprites and compare DDPM with DDIM."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; paper: the homework's sizes, for a GPU."""
    data: Path | None = None
    """Real images (.npy, .npz, folder, tar); without it, sprites are rendered."""
    subset: str | None = None
    """Part of the data to use, such as train."""
    size: int = 16
    """Height and width of the images in pixels."""
    resize: bool = False
    """Resize images of another size (bicubic); otherwise they are refused."""
    images: int = 20_000
    """Sprites to render."""
    network: Literal["unet", "context"] = "unet"
    """unet: residual U-Net; context: the course's context U-Net."""
    features: int = 32
    """Channels of the first level."""
    timesteps: int = 500
    """Length T of the chain."""
    beta_start: float = 1e-4
    beta_end: float = 0.02
    steps: int = 1800
    """Training steps."""
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls to 0."""
    ema: float = 0.995
    """Decay of the averaged parameters that are sampled."""
    drop_label: float = 0.1
    """Share of training examples that do not see their label."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples per method in the table."""
    ddim_steps: tuple[int, ...] = (10, 20, 50, 100)
    checkpoint_every: int = 1000
    seed: int = 0
    progress: bool = True
    """Show a progress bar."""
    runs: Path = Path("runs")
    """Where the run's directory is made."""
    resume: Path | None = None
    """Directory of an interrupted run to continue, with its flags."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        for name in ("steps", "batch_size", "images", "samples", "judge_steps", "features", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if bad := [n for n in self.ddim_steps if not 1 <= n <= self.timesteps]:
            raise ValueError(
                f"--ddim-steps {bad}: a chain of T={self.timesteps} has subsets of 1 to {self.timesteps} steps"
            )
        if self.samples % 50:
            raise ValueError(f"--samples must be a multiple of 50, the batch that is timed, got {self.samples}")
        linear_betas(self.timesteps, self.beta_start, self.beta_end)
        if not 0 <= self.drop_label < 1:
            raise ValueError(f"--drop-label is a share in [0, 1), got {self.drop_label}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, features=8, timesteps=20, steps=6, batch_size=8, judge_steps=4, samples=50,
        ddim_steps=(5,), checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, network="context", features=64, steps=32 * 894, batch_size=100,
        learning_rate=1e-3, schedule="linear", judge_steps=4000, samples=3000,
    ),
}  # fmt: skip


def load(config: Config) -> tuple[ImageDataset, ImageDataset]:
    """Training and held-out images in [−1, 1]; raises ValueError for what could only fail after training."""
    if config.data is None:
        dataset = render_sprites(config.images, config.seed)
    else:
        how = {"resize": config.size} if config.resize else {"size": config.size}
        dataset = load_images(config.data, subset=config.subset, **how)
    train_set, test_set = split_by_content(replace(dataset, images=to_float(dataset.images)), 0.1, config.seed)
    if len(train_set) < config.batch_size:
        raise ValueError(f"--batch-size {config.batch_size} exceeds the {len(train_set)} training images: lower it")
    if dataset.labels is None and dataset.images.shape[-1] != 3:
        raise ValueError(f"unlabelled images need 3 channels to be judged, got {dataset.images.shape[-1]}: add labels")
    jax.eval_shape(build(config, dataset.num_classes).init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    return train_set, test_set


def build(config: Config, num_classes: int) -> UNet | ContextUNet:
    """The network, unconditional where the data have no labels."""
    module = {"unet": UNet, "context": ContextUNet}[config.network]
    width = {"channels": config.features} if config.network == "unet" else {"features": config.features}
    return module(num_classes=num_classes or None, **width)


def train(config: Config, net, process, train_set: ImageDataset, test_set: ImageDataset, directory: Path):
    """Averaged parameters and the history of the losses, on training and on held-out images."""
    held_out = jnp.asarray(test_set.images[:256])
    held_out_labels = None if test_set.labels is None else jnp.asarray(test_set.labels[:256])
    # an "rbg" key compiles the initialisation in a third of the time
    params = jax.jit(net.init)(jax.random.key(config.seed, impl="rbg"), held_out[:1], jnp.zeros(1))
    decay = {"cosine": optax.cosine_decay_schedule, "linear": lambda lr, n: optax.linear_schedule(lr, 0.0, n)}
    rate = optax.join_schedules(
        [
            optax.linear_schedule(0.0, config.learning_rate, 100),
            decay[config.schedule](config.learning_rate, config.steps),
        ],
        [100],
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

    def loss(key, params, batch):
        x0, labels = batch
        drop_key, loss_key = jax.random.split(key)
        if labels is not None:
            labels = jnp.where(jax.random.bernoulli(drop_key, config.drop_label, labels.shape), -1, labels)
        return denoising_loss(loss_key, process, partial(net.apply, params), x0, cond=labels)

    @jax.jit
    def held_out_loss(params):
        network = partial(net.apply, params)
        losses = denoising_loss(jax.random.key(1), process, network, held_out, cond=held_out_labels)
        return jnp.mean(losses)

    state = create_state(jax.random.key(config.seed + 1), params, optimizer)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        if config.resume is not None:
            state = checkpoints.restore(state)
        result = fit(
            make_train_step(loss, optimizer, ema=warmup_ema(config.ema)),
            state,
            Batches((train_set.images, train_set.labels), config.batch_size, config.seed),
            steps=config.steps,
            checkpoints=checkpoints,
            checkpoint_every=config.checkpoint_every,
            log=directory / "metrics.jsonl",
            log_every=max(1, config.steps // 200),
            evaluate=lambda state: {"loss": held_out_loss(state.ema)},
            evaluate_every=max(1, config.steps // 25),
            progress=config.progress,
        )
    return result.state.ema, result.history


class Model(NamedTuple):
    """A trained network and what it takes to sample it."""

    process: GaussianProcess
    net: UNet | ContextUNet
    params: Any
    shape: tuple[int, ...]

    def sample(self, params, keys, labels, start, sampler: Sampler, steps: int, trajectory: bool = False):
        """Images by `steps` steps of a sampler; x̂0 is held to the images' range, as DDPM does."""
        denoise = denoiser(self.process, partial(self.net.apply, params), cond=labels, clip=1.0)
        times = subset_grid(self.process.steps, steps)
        return sample(keys, self.process, denoise, sampler, times, self.shape, start=start, trajectory=trajectory)


class Drawn(NamedTuple):
    """Samples and what they cost: network calls, seconds to compile, and seconds per batch of 50 (median)."""

    images: np.ndarray
    calls: int
    compile_seconds: float
    seconds: float


def draw(model: Model, sampler: Sampler, steps: int, keys, labels, start=None) -> Drawn:
    """Samples, one per key, in batches of 50 through one compiled function, from the prior or the states `start`."""

    def rows(i):
        return jax.tree.map(lambda x: x[i : i + 50], (keys, labels, start))

    started = time.perf_counter()
    generate = jax.jit(partial(model.sample, sampler=sampler, steps=steps))
    compiled = generate.lower(model.params, *rows(0)).compile()
    compile_seconds, images, seconds = time.perf_counter() - started, [], []
    for i in range(0, len(keys), 50):
        started = time.perf_counter()
        images.append(np.asarray(compiled(model.params, *rows(i))))
        seconds.append(time.perf_counter() - started)
    return Drawn(np.concatenate(images), steps, compile_seconds, float(np.median(seconds)))


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
    directory = launch.begin("sprites", config)
    report = Report(
        "Sprites: DDPM and DDIM",
        "Can a small diffusion model draw game sprites, what does the noise z do in sampling, and how many network "
        "calls does DDIM save over DDPM at what loss of quality?",
        launch.command("experiments.sprites"),
        config,
    )
    steps, names = config.timesteps, train_set.label_names or tuple(map(str, range(train_set.num_classes)))
    process = discrete(linear_betas(steps, config.beta_start, config.beta_end))
    net = build(config, train_set.num_classes)
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    params, history = train(config, net, process, train_set, test_set, directory)
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    model = Model(process, net, params, train_set.images.shape[1:])

    report.section("The data and the forward process")
    images, held_out = train_set.images, test_set.images
    source = "rendered" if config.data is None else f"from {config.data}"
    report.figure(image_grid(images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source}.")
    forward_process(report, process, images)
    report.section("Training")
    training(report, config, model, history)

    report.section("Sampling")
    chosen = jax.random.randint(jax.random.key(config.seed + 2), (config.samples,), 0, len(held_out))
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)
    labels = None if test_set.labels is None else jnp.asarray(test_set.labels)[chosen]
    drawn = {f"DDPM-{steps}": draw(model, ddpm(), steps, keys, labels)}
    drawn |= {f"DDIM-{n}": draw(model, ddim(), n, keys, labels) for n in sorted(config.ddim_steps, reverse=True)}
    shown = 50 if 50 in config.ddim_steps else max(config.ddim_steps)
    ddpm_images, ddim_images = drawn[f"DDPM-{steps}"].images, drawn[f"DDIM-{shown}"].images
    report.figure(image_grid(ddpm_images[:50], 10), "ddpm", f"Fifty samples by DDPM, all {steps} steps.")
    report.figure(
        image_grid(ddim_images[:50], 10), "ddim", f"Fifty samples by DDIM-{shown}, from the same initial noise."
    )
    first = keys[:50], None if labels is None else labels[:50]
    silent = draw(model, ddpm(noise_scale=0.0), steps, *first).images
    without_noise(report, silent, ddpm_images[:50], images[:2000])
    trajectory(report, model, *first)
    # the chain's true last state, in place of the prior
    eps = jax.random.normal(jax.random.key(config.seed + 5), (config.samples, *model.shape))
    noised = perturb(process, jnp.asarray(held_out)[chosen], 1.0, eps)
    drawn[f"DDIM-{shown} from noised images"] = draw(model, ddim(), shown, keys, labels, noised)
    if labels is not None:
        class_conditional(report, model, judge, names, config.seed)
    nearest(report, ddpm_images, images)

    report.section("Quality and time")
    compare(report, judge, drawn, images, held_out[: config.samples])
    path = report.save(directory)
    print(f"report: {path}")
    return path


def forward_process(report: Report, process: GaussianProcess, images: np.ndarray) -> None:
    """The schedule, and what it does to five images."""
    t = np.arange(1, process.steps + 1) / process.steps
    i = np.arange(1, process.steps + 1)
    beta = transition(process, t - 1 / process.steps, t).variance
    quantities = {
        "β": {"β": (i, beta)},
        "signal and noise": {"α = √ᾱ": (i, process.alpha(t)), "σ = √(1−ᾱ)": (i, process.sigma(t))},
        "log-SNR (nats)": {"log-SNR": (i, process.log_snr(t))},
    }
    report.figure(
        panels(quantities, x_label="step"),
        "schedule",
        f"The linear schedule: after {process.steps} steps α is {float(process.alpha(1.0)):.3f}, x_T nearly noise.",
    )
    shown = np.unique(np.round(np.linspace(0, 1, 11) ** 1.5 * process.steps)).astype(int)
    eps = jax.random.normal(jax.random.key(0), images[:5].shape)
    path = [perturb(process, jnp.asarray(images[:5]), step / process.steps, eps) for step in shown]
    report.figure(
        strip(np.stack(path), [f"{step}" for step in shown]),
        "forward",
        "Five images along the forward process, each reached from x0 in one step: x_t = α x0 + σ ε.",
    )


def training(report: Report, config: Config, model: Model, history: History) -> None:
    """The training curve."""
    size = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    report.figure(
        curves(
            {"training": history["loss"], "held out (averaged parameters)": history["eval/loss"]},
            x_label="training step",
            y_label="ε-MSE",
            smooth={"training": 15},
            log_y=True,
        ),
        "loss",
        f"Loss of a network of {size / 1e6:.2f} M parameters over {config.steps} steps of {config.batch_size} images. "
        "The held-out curve uses the same noise each time, so it is smooth.",
    )
    report.metrics["training"] = {"parameters": size, "held_out_loss": history["eval/loss"][1][-1]}


def without_noise(report: Report, silent: np.ndarray, noisy: np.ndarray, real: np.ndarray) -> None:
    """The reverse chain without its added noise z, and how much detail that leaves."""

    def detail(images):
        return float(np.mean(np.abs(np.diff(images, axis=2))))

    report.figure(
        image_grid(silent, 10),
        "ddpm-without-z",
        "The same DDPM chain without the added noise z, from the same initial noise: every step takes the mean of what "
        "is possible, and detail averages away.",
    )
    ratio = detail(silent) / detail(noisy)
    report.metrics["detail"] = {"without z": detail(silent), "DDPM": detail(noisy), "real": detail(real)}
    report.finding(
        f"**Without the noise z** the contrast between neighbouring pixels is {ratio:.0%} of DDPM's "
        f"({detail(silent):.2f} against {detail(noisy):.2f}; real images have {detail(real):.2f})."
    )


def trajectory(report: Report, model: Model, keys, labels) -> None:
    """Ten DDPM samples as they form."""
    steps = model.process.steps
    follow = jax.jit(partial(model.sample, start=None, sampler=ddpm(), steps=steps, trajectory=True))
    path = follow(model.params, keys[:10], None if labels is None else labels[:10])
    report.figure(
        animate(np.asarray(path), 10),
        "trajectory",
        f"Ten of the DDPM samples on their way from noise, {steps} steps in thirty frames.",
    )


def class_conditional(report: Report, model: Model, judge: Judge, names: Sequence[str], seed: int) -> None:
    """Ten samples of each class asked for, and how many the classifier reads as asked."""
    k, n = len(names), 20
    labels = jnp.arange(k * n) // n
    keys = jax.random.split(jax.random.key(seed + 4), k * n)
    steps = min(50, model.process.steps)
    images = draw(model, ddim(), steps, keys, labels).images
    agreement = np.mean(judge.classify(images).argmax(-1) == np.asarray(labels))
    report.figure(
        image_grid(images.reshape(k, n, *model.shape)[:, :10].reshape(-1, *model.shape), 10, row_labels=names),
        "classes",
        f"Ten samples of each class by DDIM-{steps}. The classifier reads {agreement:.0%} of {k * n} as the class "
        f"asked for; it is right on {judge.accuracy:.0%} of held-out real images.",
    )
    report.metrics["class_agreement"] = agreement
    report.metrics["classifier_accuracy"] = judge.accuracy


def nearest(report: Report, generated: np.ndarray, images: np.ndarray) -> None:
    """Whether samples are copies: each beside its nearest training image."""
    shown = generated[:12]
    flat = images.reshape(len(images), -1)
    squares = [np.mean((flat - x.reshape(-1)) ** 2, axis=-1) for x in shown]
    found = images[[int(s.argmin()) for s in squares]]
    distance = np.sqrt(np.median([s.min() for s in squares]))
    report.figure(
        image_grid(np.concatenate([shown, found]), len(shown), row_labels=["sample", "nearest"]),
        "nearest",
        "Samples and the training image nearest to each in pixels; the median root-mean-square distance is "
        f"{distance:.2f} on the scale [−1, 1].",
    )


def compare(
    report: Report, judge: Judge, drawn: Mapping[str, Drawn], train_images: np.ndarray, real: np.ndarray
) -> None:
    """Fréchet distance, precision and recall against time, with held-out real images as the floor."""
    reference = judge.features(train_images)
    peers = reference[: len(real)]

    def quality(images):
        features = judge.features(images[: len(real)])
        found = precision_recall(peers, features)
        distance = frechet_distance(features, reference)
        return {"Fréchet distance": distance, "precision": found.precision, "recall": found.recall}

    rows = {
        name: {"method": name, "network calls": method.calls, **quality(method.images)}
        | {"seconds per 50": method.seconds, "compile (s)": method.compile_seconds}
        for name, method in drawn.items()
    }
    floor = {"method": "held-out real images", **quality(real)}
    report.table(
        [*rows.values(), floor],
        f"Quality and cost. Fréchet distance of {len(real)} images to the {len(reference)} training images in the 64 "
        f"features of a classifier trained on {judge.trained_on}; precision and recall with k = 3 against as many "
        "training images. Compare within this table only.",
    )
    report.metrics["methods"] = [*rows.values(), floor]
    noised = next(name for name in rows if name.endswith("from noised images"))
    ddpm_name, *ddim_names = [name for name in rows if name != noised]
    points = {
        group: [(name, rows[name]["seconds per 50"], rows[name]["Fréchet distance"]) for name in names]
        for group, names in {"DDIM": ddim_names, "DDPM": [ddpm_name], "DDIM from noised images": [noised]}.items()
    }
    report.figure(
        tradeoff(
            points,
            x_label="seconds per 50 samples",
            y_label="Fréchet distance",
            levels={"held-out real images": floor["Fréchet distance"]},
            log_x=True,
            log_y=True,
        ),
        "quality-and-time",
        "Quality against time: down and to the left is better.",
    )
    full, fast = rows[ddpm_name], rows[noised.removesuffix(" from noised images")]
    report.finding(
        f"**{fast['method']}** draws 50 images in {fast['seconds per 50']:.2g} s at a Fréchet distance of "
        f"{fast['Fréchet distance']:.3g}; **{full['method']}** takes {full['seconds per 50']:.2g} s, "
        f"{full['seconds per 50'] / fast['seconds per 50']:.1f} times as long, for {full['Fréchet distance']:.3g}. "
        f"Real held-out images are at {floor['Fréchet distance']:.3g}."
    )
    report.finding(
        f"**The prior matters to DDIM.** The chain ends short of pure noise. Started from held-out images noised to "
        f"its last step instead of from N(0, I), {fast['method']} is at {rows[noised]['Fréchet distance']:.3g} instead "
        f"of {fast['Fréchet distance']:.3g}: what is above that comes from the start, which DDPM's noise forgets and a "
        "deterministic path cannot."
    )


if __name__ == "__main__":
    launch.run(main, PRESETS)
