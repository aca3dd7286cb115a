"""What the exercise on discrete diffusion measures."""

from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.discrete.config import Config
from experiments.discrete.data import Tokens, toy
from experiments.discrete.measure_models import (
    Baselines,
    ModelResults,
    baselines,
    model_results,
    sampler_results,
)
from experiments.discrete.measure_toy import STEPS, ToyResults, toy_results
from experiments.discrete.measure_unmasking import Unmasking, unmasking
from experiments.discrete.train import TOY, Model
from experiments.kit.run import Run
from jaxgen.training import History


class Measured(NamedTuple):
    """Everything the report shows, by kind of data and by chain.

    Attributes:
        models: the chains.
        baselines: n-gram models.
        toys: the chains on the enumerable law.
        entropy: the exact bits per token of that law.
        marginals: the bits per token of its product of marginals.
        steps: steps of the chains in `toys`.
        unmasking: see `Unmasking`.
        samplers: samples of masked diffusion of sprites by each sampler, and their distances.
        data: the data that are shown beside samples.
        palettes: colours by kind of image.
        histories: losses.
        parameters: number of parameters of the network of masked diffusion, by kind.
        examples: number of training examples, by kind.
        nearer: whether 3-grams of masked text are nearer to held-out text than those of the Markov chain.
    """

    models: dict[str, dict[str, ModelResults]]
    baselines: dict[str, Baselines]
    toys: dict[str, ToyResults]
    entropy: float
    marginals: float
    steps: tuple[int, ...]
    unmasking: Unmasking
    samplers: dict[str, tuple[np.ndarray, float]]
    data: dict[str, np.ndarray]
    palettes: dict[str, np.ndarray]
    histories: dict[str, dict[str, History]]
    parameters: dict[str, int]
    examples: dict[str, int]
    nearer: bool


def measure(run: Run[Config], data: dict[str, Tokens], models: dict[str, dict[str, Model]]) -> Measured:
    """Measure every part; each is a stage of the run."""
    config = run.config
    results = {
        kind: {
            name: run.stage(f"models/{kind}/{name}", partial(model_results, config, kind, tokens, models[kind][name]))
            for name in models[kind]
        }
        for kind, tokens in data.items()
    }
    simple = {
        kind: run.stage(f"baselines/{kind}", partial(baselines, config, kind, tokens)) for kind, tokens in data.items()
    }
    return Measured(
        models=results,
        baselines=simple,
        toys={
            name: run.stage(f"toy/{name}", partial(toy_results, config, model)) for name, model in models[TOY].items()
        },
        entropy=toy().bits_per_token,
        marginals=toy().bits_of_marginals,
        steps=STEPS,
        unmasking=run.stage("unmasking", partial(unmasking, config)),
        samplers=run.stage("samplers", partial(sampler_results, config, data["sprites"], models["sprites"]["masked"])),
        data={kind: tokens.held_out[: config.samples] for kind, tokens in data.items()},
        palettes={kind: tokens.palette for kind, tokens in data.items() if tokens.palette is not None},
        histories={kind: {name: model.history for name, model in each.items()} for kind, each in models.items()},
        parameters={kind: each["masked"].parameters for kind, each in models.items()},
        examples={kind: len(tokens.train) for kind, tokens in data.items()},
        nearer=results["text"]["masked"].distance < simple["text"].markov_distance,
    )
