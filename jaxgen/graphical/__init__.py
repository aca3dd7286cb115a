"""Graphical models: questions on graphs with their witnesses, exact inference as one pure function, and learning.

Needs the extra `graphical`.
"""

try:
    import networkx  # noqa: F401
except ImportError as error:
    raise ImportError(f'jaxgen.graphical needs {error.name}, not installed: pip install "jaxgen[graphical]"') from error

from jaxgen.graphical._domain import Evidence, States
from jaxgen.graphical._graphs import directed_graph, markov_graph
from jaxgen.graphical.assignments import (
    Assignment,
    MostProbable,
    log_probability,
    log_weight,
    most_probable,
    sample,
)
from jaxgen.graphical.bayesian import (
    BayesianNetwork,
    Parents,
    bayesian_network,
    random_bayesian_network,
    to_factor_graph,
)
from jaxgen.graphical.chordal import Chordality, Triangulation, chordality, maximal_cliques, triangulation
from jaxgen.graphical.conversion import to_bayesian_network
from jaxgen.graphical.factors import FactorGraph, Factors, factor_graph, markov_network
from jaxgen.graphical.formulas import factorisation
from jaxgen.graphical.independence import IMap, Independence, PerfectMap, i_map, independencies, perfect_map
from jaxgen.graphical.inference import (
    covariances,
    factor_marginals,
    log_partition,
    marginal,
    marginalise,
    marginals,
)
from jaxgen.graphical.learning import Data, PotentialFit, empirical_marginals, fit_potentials, fit_tables
from jaxgen.graphical.loopy import Beliefs, LoopyWarning, loopy_belief_propagation
from jaxgen.graphical.moral import MarkovBlanket, MoralGraph, Orientation, markov_blanket, moral_graph, orientation
from jaxgen.graphical.orders import EliminationOrder, elimination_order
from jaxgen.graphical.paths import BlockedPath, Separation, arrows, blocked_paths, separation
from jaxgen.graphical.separators import minimal_separators

__all__ = [
    "Assignment",
    "BayesianNetwork",
    "Beliefs",
    "BlockedPath",
    "Chordality",
    "Data",
    "EliminationOrder",
    "Evidence",
    "FactorGraph",
    "Factors",
    "IMap",
    "Independence",
    "LoopyWarning",
    "MarkovBlanket",
    "MoralGraph",
    "MostProbable",
    "Orientation",
    "Parents",
    "PerfectMap",
    "PotentialFit",
    "Separation",
    "States",
    "Triangulation",
    "arrows",
    "bayesian_network",
    "blocked_paths",
    "chordality",
    "covariances",
    "directed_graph",
    "elimination_order",
    "empirical_marginals",
    "factor_graph",
    "factor_marginals",
    "factorisation",
    "fit_potentials",
    "fit_tables",
    "i_map",
    "independencies",
    "log_partition",
    "log_probability",
    "log_weight",
    "loopy_belief_propagation",
    "marginal",
    "marginalise",
    "marginals",
    "markov_blanket",
    "markov_graph",
    "markov_network",
    "maximal_cliques",
    "minimal_separators",
    "moral_graph",
    "most_probable",
    "orientation",
    "perfect_map",
    "random_bayesian_network",
    "sample",
    "separation",
    "to_bayesian_network",
    "to_factor_graph",
    "triangulation",
]
