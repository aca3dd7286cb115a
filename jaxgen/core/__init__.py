"""Pytree dataclasses, broadcasting, random keys, the progress bar, and ODEs through diffrax."""

from jaxgen.core.agreement import all_processes, check_batch_sharding
from jaxgen.core.broadcast import per_example, safe_divide
from jaxgen.core.checks import check_at_least, check_choice, check_floating, check_not_negative, check_positive
from jaxgen.core.divergence import Divergence, VectorField, exact_divergence, hutchinson
from jaxgen.core.files import write_atomically
from jaxgen.core.keys import fold_in, noise, per_sample_keys, threefry_key
from jaxgen.core.ode import Solution, integrate, solve
from jaxgen.core.precision import as_float
from jaxgen.core.progress import progress_bar
from jaxgen.core.pytree import PytreeDataclass
from jaxgen.core.tracing import is_traced

__all__ = [
    "Divergence",
    "PytreeDataclass",
    "Solution",
    "VectorField",
    "all_processes",
    "as_float",
    "check_at_least",
    "check_batch_sharding",
    "check_choice",
    "check_floating",
    "check_not_negative",
    "check_positive",
    "exact_divergence",
    "fold_in",
    "hutchinson",
    "integrate",
    "is_traced",
    "noise",
    "per_example",
    "per_sample_keys",
    "progress_bar",
    "safe_divide",
    "solve",
    "threefry_key",
    "write_atomically",
]
