"""Graphical models by brute force: the joint table of every assignment, in NumPy and float64."""

import itertools

import numpy as np

STUDENT = {"M": [], "S": [], "F": [], "I": ["M", "S"], "T": ["F"], "D": ["I", "T"]}
"""P(M) P(S) P(F) P(I | M, S) P(T | F) P(D | I, T)."""
ROUTES = {"C": [], "O": [], "A": [], "S": ["O"], "B": ["S"], "T": ["O", "A"], "M": ["B", "T", "A"]}
"""C; O → S → B; O, A → T; B, T, A → M."""
SCOPES = [tuple(scope) for scope in ("ABC", "BCD", "CDF", "FE", "BE", "EG")]
"""φ₁(A,B,C) φ₂(B,C,D) φ₃(C,D,F) φ₄(F,E) φ₅(B,E) φ₆(E,G)."""


def subsets(names):
    """All subsets of names as tuples, the small ones first."""
    names = list(names)
    return itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(len(names) + 1))


def product_table(sizes, factors):
    """The product of tables: sizes by name, and (scope, table) pairs; an axis for each name."""
    names = list(sizes)
    joint = np.ones(tuple(sizes.values()))
    for scope, table in factors:
        letters = [chr(97 + names.index(name)) for name in scope]
        everything = "".join(chr(97 + i) for i in range(len(names)))
        joint = np.einsum(f"{everything},{''.join(letters)}->{everything}", joint, np.asarray(table, np.float64))
    return joint


def log_table(sizes, factors):
    """The sum of log-tables, −inf included."""
    names = list(sizes)
    total = np.zeros(tuple(sizes.values()))
    for scope, table in factors:
        table = np.asarray(table, np.float64)
        order = sorted(range(len(scope)), key=lambda axis: names.index(scope[axis]))
        shape = [sizes[name] if name in scope else 1 for name in names]
        total = total + np.transpose(table, order).reshape(shape)
    return total


def marginal_table(joint, names, kept):
    """The sum of a joint table over all but some names, whose axes come in the order given."""
    summed = joint.sum(tuple(i for i, name in enumerate(names) if name not in kept))
    left = [name for name in names if name in kept]
    return np.transpose(summed, [left.index(name) for name in kept])


def dependence(joint, names, x, y, given):
    """The largest |P(x, y, z) P(z) − P(x, z) P(y, z)| over all states; 0 where x and y are independent given z."""
    given = tuple(given)
    xyz = marginal_table(joint, names, (x, y, *given))
    z, xz, yz = xyz.sum((0, 1)), xyz.sum(1), xyz.sum(0)
    return np.abs(xyz * z - xz[:, None] * yz[None]).max()


def random_joint(generator, parents, states=2):
    """The joint table of a Bayesian network with random tables, and the names of its axes."""
    names = list(parents)
    factors = []
    for name, of in parents.items():
        table = generator.dirichlet(np.ones(states), (states,) * len(of))
        factors.append(((*of, name), table))
    return product_table(dict.fromkeys(names, states), factors), names
