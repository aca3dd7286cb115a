"""What a family of models is: how it is trained, and what its parameters can do. A new family is one file."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax

from experiments.kit.adversarial import Rates
from jaxgen.gan import AdversarialObjectives


class Network(NamedTuple):
    """How networks of one loss function are trained.

    Attributes:
        initial: seed -> first parameters.
        loss: (key, params, integers (B, h, w, c), **carry) -> losses, as `make_train_step` takes it.
        learning_rate: of Adam, constant after a warm-up.
        carry: the loss function's first carry.
    """

    initial: Callable[[int], Any]
    loss: Callable[..., Any]
    learning_rate: float
    carry: Mapping[str, Any] | None = None


class Game(NamedTuple):
    """How a generator and its critic are trained.

    Attributes:
        initial: seed -> first parameters of the generator and of the critic.
        objectives: the losses of both, of images in [−1, 1].
        rates: the learning rates of both.
    """

    initial: Callable[[int], tuple[Any, Any]]
    objectives: AdversarialObjectives
    rates: Rates


class Way(NamedTuple):
    """A way to draw images from a family's parameters.

    Attributes:
        draw: (params, keys (n,)) -> images (n, h, w, c) in about [−1, 1].
        calls: network calls for an image, gradients of an energy included.
        published: its name in the literature's table, None where it is not there.
    """

    draw: Callable[[Any, jax.Array], jax.Array]
    calls: int
    published: str | None = None


class Likelihood(NamedTuple):
    """What a family says of the probability of images.

    Attributes:
        kind: "exact" for the density of images with uniform noise, "bound" for a lower bound of the probability.
        log_probability: (params, key, integers (n, h, w, c)) -> (n,) in nats. It bounds the log-probability of the
            integers from below, whichever the kind.
    """

    kind: Literal["exact", "bound"]
    log_probability: Callable[[Any, jax.Array, jax.Array], jax.Array]


class Family(NamedTuple):
    """A family of models of images.

    Attributes:
        title: its name in tables.
        networks: what networks it has.
        training: how they are trained.
        ways: the ways to draw images, by name; the first is used along the training.
        likelihood: None where it has none.
        encode: (params, integers (n, h, w, c)) -> codes (n, d); None where it has no code of an image.
    """

    title: str
    networks: tuple[str, ...]
    training: Network | Game
    ways: Mapping[str, Way]
    likelihood: Likelihood | None = None
    encode: Callable[[Any, jax.Array], jax.Array] | None = None
