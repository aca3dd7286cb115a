"""Named discrete variables: the part of a model that is known when it is traced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxgen.core import is_traced
from jaxgen.graphical._graphs import check_names

States = Mapping[str, int | Sequence[str]]
"""The number of states of each variable, or their labels."""

Evidence = Mapping[str, Any]
"""What is observed of some variables: a state's index () or label, or a mask (states,) of those not ruled out."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Domain:
    """Names of variables with their states, in order.

    Attributes:
        names: the variables.
        sizes: their numbers of states.
        labels: the names of their states; None where states have only numbers.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    labels: tuple[tuple[str, ...] | None, ...]

    @classmethod
    def of(cls, states: States) -> "Domain":
        """Check and keep the states of variables."""
        sizes, labels = [], []
        for name, given in states.items():
            if isinstance(given, str):
                raise ValueError(
                    f"the states of {name!r} are the text {given!r}: give their number or a list of labels"
                )
            if isinstance(given, int | np.integer):
                sizes.append(int(given))
                labels.append(None)
            else:
                labels.append(tuple(map(str, given)))
                sizes.append(len(labels[-1]))
                if len(set(labels[-1])) < len(labels[-1]):
                    raise ValueError(f"the states of {name!r} have one label twice: {', '.join(labels[-1])}")
            if sizes[-1] < 1:
                raise ValueError(f"the variable {name!r} needs at least one state, got {given!r}")
        return cls(tuple(states), tuple(sizes), tuple(labels))

    @property
    def states(self) -> dict[str, int | tuple[str, ...]]:
        """The labels of each variable's states, or their number where they have no labels."""
        return {
            name: size if labels is None else labels
            for name, size, labels in zip(self.names, self.sizes, self.labels, strict=True)
        }

    def size(self, name: str) -> int:
        """The number of states of a variable."""
        return self.sizes[self.names.index(name)]

    def shape(self, scope: Sequence[str]) -> tuple[int, ...]:
        """The shape of a table over variables."""
        return tuple(self.size(name) for name in scope)

    def subset(self, names: Sequence[str]) -> "Domain":
        """Some of the variables."""
        states = self.states
        return Domain.of({name: states[name] for name in names})

    def index(self, name: str, state: Any) -> Any:
        """The index of a state that is given by index or label; traced indices pass unchecked."""
        size, labels = self.size(name), self.labels[self.names.index(name)]
        if isinstance(state, str):
            if labels is None or state not in labels:
                listed = ", ".join(labels) if labels else f"no labels, only the numbers 0 to {size - 1}"
                raise ValueError(f"unknown state {state!r} of {name!r}: it has {listed}")
            return labels.index(state)
        if not jnp.issubdtype(jnp.result_type(state), jnp.integer):
            raise ValueError(f"the state of {name!r} must be a whole number or a label, got {state!r}")
        if not is_traced(state) and (np.min(state, initial=0) < 0 or np.max(state, initial=0) >= size):
            raise ValueError(f"the states of {name!r} are 0 to {size - 1}, got {state}")
        return state

    def mask(self, name: str, observed: Any) -> Bool[Array, " states"]:
        """The states of a variable that an observation does not rule out."""
        size = self.size(name)
        if not isinstance(observed, str) and jnp.result_type(observed) == jnp.bool_:
            if jnp.shape(observed) != (size,):
                raise ValueError(f"a mask of {name!r} must have shape ({size},), got {jnp.shape(observed)}")
            return jnp.asarray(observed)
        if jnp.ndim(self.index(name, observed)):
            raise ValueError(
                f"{name!r} has one state in each evidence, got an array of shape {jnp.shape(observed)}: "
                "use jax.vmap for many evidences, or a boolean mask for several states"
            )
        return jnp.arange(size) == self.index(name, observed)

    def log_masks(self, evidence: Evidence | None, dtype: Any) -> dict[str, Array]:
        """log 1 for each state that the evidence allows, and log 0 for the others, of all variables."""
        evidence = {} if evidence is None else evidence
        check_names(self.names, *evidence)
        masks = {name: jnp.zeros(size, dtype) for name, size in zip(self.names, self.sizes, strict=True)}
        for name, observed in evidence.items():
            masks[name] = jnp.where(self.mask(name, observed), 0.0, -jnp.inf).astype(dtype)
        return masks
