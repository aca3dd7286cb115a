"""The figures and tables of the report on graphical models; its text is report.md."""

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from experiments.graphical_models.config import Config
from experiments.graphical_models.measure import Measured
from experiments.graphical_models.measure_learning import Learned
from experiments.graphical_models.network_file import places
from experiments.graphical_models.networks import FIRST, MARKOV, SECOND, Given
from experiments.kit.run import Run
from jaxgen.report import GraphPanel, curves, format_value, graph_panels, panels, table

Rows = list[dict[str, Any]]
Edge = tuple[str, str]


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, rows),
        figures=figures(measured),
        tables={name: table(of, formats=FORMATS.get(name)) for name, of in rows.items()},
    )


def rounding(value: float) -> str:
    """A difference, or 0 where there is only rounding."""
    return "0" if abs(value) < 1e-12 else format_value(value, 2)


FORMATS = {
    "independencies": {"information in nats": rounding},
    "exhaustive": {"largest information if true": rounding},
    "toys": {"x": "g", "x + 1": "g", "KL there": rounding, "log p(x) − ELBO at x + 1": rounding},
    "scalings": {"Z after / Z before": ".6f", "largest change of a probability": rounding},
}


def all_rows(measured: Measured) -> dict[str, Rows]:
    """The rows of every table."""
    rows = {
        "independencies": [
            {
                "network": of.decision.network.removesuffix(" network"),
                "statement": of.decision.statement,
                "true": of.decision.true,
                "because": of.decision.reason,
                "information in nats": of.information,
            }
            for of in measured.tested
        ],
        "structural": [
            {"network": of.network, "statement": of.statement, "true": of.true, "because": of.reason}
            for of in measured.structural
        ],
        "exhaustive": [
            {
                "network": of.network,
                "statements": of.statements,
                "true": of.true,
                "contradicted by the tables": of.contradicted,
                "largest information if true": of.largest_if_true,
                "smallest if false": of.smallest_if_false,
            }
            for of in measured.exhaustive
        ],
        "losses": [
            {
                "conversion": of.conversion,
                "added edges": ", ".join(map("–".join, of.added)) or "none",
                "independencies": of.held,
                "lost": of.lost,
                "for example": of.example,
            }
            for of in measured.conversions.losses
        ],
        "scalings": [
            {
                "potential": f"φ({', '.join(of.scope)})",
                "Z before": of.before,
                "Z after": of.after,
                "Z after / Z before": of.ratio,
                "largest change of a probability": of.change,
            }
            for of in measured.scalings
        ],
        "answers": [
            {
                "network": learned.name,
                "asked": f"P({learned.query} = {of.state}{' | ' * bool(learned.evidence)}{learned.evidence})",
                "exact": of.exact,
                "learned": of.learned,
                "counted": of.counted,
                "loopy": of.loopy,
            }
            for learned in measured.learned
            for of in learned.answers
        ],
    }
    rows["toys"] = [
        {
            "x": of.x,
            "best θ": of.best,
            "x + 1": of.x + 1,
            "KL there": float(of.kl.min()),
            "log p(x) − ELBO at x + 1": of.gap,
        }
        for of in measured.toys
    ]
    if measured.own and measured.own.decisions:
        rows["own-statements"] = [
            {"statement": of.statement, "true": of.true, "because": of.reason} for of in measured.own.decisions
        ]
    return rows


def metrics(measured: Measured, rows: dict[str, Rows]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    return {
        **{
            name: rows[name]
            for name in ("independencies", "structural", "exhaustive", "losses", "scalings", "answers", "toys")
        },
        "marginalised": measured.marginalised._asdict(),
        "learned": {of.name: learned_metrics(of) for of in measured.learned},
        "own statements": rows.get("own-statements", []),
    }


def learned_metrics(of: Learned) -> dict[str, Any]:
    """The numbers of one network that is learned."""
    return {
        "factorisation": of.factorisation,
        "parameters": of.parameters,
        "samples": of.samples.tolist(),
        "mean divergence": of.divergence.mean(1).tolist(),
        "divergence over theory at the end": of.last_ratio,
        "most probable": of.best,
        "its probability": of.best_probability,
    }


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    shown = {
        "networks": graph_panels([panel(FIRST), panel(SECOND)], height=300),
        "markov": markov(measured),
        "moral": moral(measured),
        "learning": learning(measured),
        "theta": theta(measured),
    }
    if measured.own:
        graph = measured.own.subject.graph
        own = GraphPanel("", places(graph), dict.fromkeys(graph.edges, "plain"), graph.is_directed())
        shown["own"] = graph_panels([own], height=360)
    return shown


def panel(given: Given, title: str = "") -> GraphPanel:
    """A network as it is given."""
    return GraphPanel(
        title or given.name, given.places, dict.fromkeys(given.graph.edges, "plain"), given.graph.is_directed()
    )


def styled(graph: nx.Graph, **styles: list[Edge]) -> dict[Edge, str]:
    """The edges of a graph and further ones, each with its style."""
    found = dict.fromkeys(map(tuple, map(sorted, graph.edges)), "plain")
    for style, edges in styles.items():
        found |= {tuple(sorted(edge)): style for edge in edges}
    return found


def moral(measured: Measured) -> Figure:
    """The second network, its moral graph, and the cycle without a chord."""
    found = measured.conversions
    cycle = list(zip(found.cycle, found.cycle[1:] + found.cycle[:1], strict=True))
    return graph_panels(
        [
            panel(SECOND),
            GraphPanel("moral graph", SECOND.places, styled(found.moral, added=list(found.marriages))),
            GraphPanel(
                "cycle without a chord, and a fill edge", SECOND.places,
                styled(found.moral, marked=cycle, added=found.fills[:1]),
            ),
        ],
        labels={"added": "added edge", "marked": "cycle without a chord"},
    )  # fmt: skip


def markov(measured: Measured) -> Figure:
    """The Markov network, without C, and oriented."""
    summed, conversions = measured.marginalised, measured.conversions
    rest = MARKOV.graph.subgraph(set(MARKOV.graph) - {summed.name})
    arrows: dict[Edge, str] = dict.fromkeys(conversions.oriented.edges, "plain")
    for edge in conversions.oriented_fill:
        arrows[edge if edge in arrows else edge[::-1]] = "added"
    return graph_panels(
        [
            panel(MARKOV),
            GraphPanel(
                f"{summed.name} is summed out", {name: MARKOV.places[name] for name in rest},
                styled(rest, added=summed.joined),
            ),
            GraphPanel("as a Bayesian network", MARKOV.places, arrows, directed=True),
        ],
        labels={"added": "added edge"}, height=240,
    )  # fmt: skip


def learning(measured: Measured) -> Figure:
    """The divergence of learned networks over the theory's, by the number of samples."""
    return curves(
        {f"{of.name}, d = {of.parameters}": (of.samples, of.divergence.mean(1) / of.theory) for of in measured.learned},
        x_label="samples n", y_label="KL over d/(2n)", log_x=True, levels={"theory": 1}, height=260,
    )  # fmt: skip


def theta(measured: Measured) -> Figure:
    """The divergence along θ for each x, up to twice the best θ, and the place that theory says."""
    shown = {}
    for of in measured.toys:
        near = of.theta <= 2 * (of.x + 1)
        shown[f"x = {of.x:g}"] = {
            "KL in nats": (of.theta[near], of.kl[near]), "θ = x + 1": (np.array([of.x + 1]), np.zeros(1)),
        }  # fmt: skip
    return panels(shown, x_label="θ", height=220)
