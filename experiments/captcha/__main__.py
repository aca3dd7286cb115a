"""CAPTCHAs on request: train a diffusion model of images of text, ask it for texts, and let a recogniser read them.

The homework's second practice, without a text and then conditioned on it. It asks for a DDPM; trained here is a
diffusion model by EDM's objective (Karras et al. 2022), sampled by DPM-Solver++(2M) in tens of steps, where DDPM takes
a thousand. One network learns both, because its text is dropped for some examples. So it can be guided (Ho & Salimans
2022).
"""

from pathlib import Path

from experiments.captcha import EXERCISE
from experiments.captcha.config import PRESETS, Config
from experiments.captcha.data import load
from experiments.captcha.measure import measure
from experiments.captcha.recogniser import train_recogniser
from experiments.captcha.report import write
from experiments.captcha.train import build, train_model
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    net = build(config, data)
    run = begin(EXERCISE, config)
    recogniser = train_recogniser(run, data.train, steps=config.recogniser_steps)
    model = train_model(run, net, data)
    measured = measure(run, data, model, recogniser)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
