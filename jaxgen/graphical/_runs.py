"""Steps of an elimination that do the same to other tables, which one loop can do."""

from collections.abc import Sequence
from typing import NamedTuple

_WORTH = 4  # steps from which on a loop is compiled faster


class Step(NamedTuple):
    """How a variable is eliminated.

    Attributes:
        name: the variable.
        others: the variables that it is joined with.
        shape: the numbers of states of the others, and of the variable.
        members: the number of each table that is joined, and the axes of this shape that its own axes are.
    """

    name: str
    others: tuple[str, ...]
    shape: tuple[int, ...]
    members: tuple[tuple[int, tuple[int, ...]], ...]


class Run(NamedTuple):
    """Steps that follow each other and join tables of the same shapes along the same axes.

    Attributes:
        steps: their numbers.
        carried: which member of each step is the message of the step before; None if none is, so that they can be done
            side by side.
    """

    steps: range
    carried: int | None


def runs_of(steps: Sequence[Step], given: int) -> list[Run]:
    """Split an elimination into runs.

    Args:
        steps: the steps.
        given: the number of tables that are given. The message of step i is the table given + i.

    Returns:
        The runs, which together are all steps.
    """
    runs, begin = [], 0
    while begin < len(steps):
        side_by_side = _end(steps, begin, None, given)
        last = len(steps[begin].members) - 1
        in_turn = begin
        # members come in the order in which they are made, so a message of the step before is the last
        if last >= 0 and steps[begin].members[last][0] == given + begin - 1:
            in_turn = _end(steps, begin, last, given)
        if in_turn - begin >= _WORTH and in_turn > side_by_side:
            runs.append(Run(range(begin, in_turn), last))
        else:
            runs.append(Run(range(begin, side_by_side), None))
        begin = runs[-1].steps.stop
    return runs


def _end(steps: Sequence[Step], begin: int, carried: int | None, given: int) -> int:
    """The end of the run that begins with a step."""
    first, end = steps[begin], begin + 1

    def fits(i: int) -> bool:
        step = steps[i]
        if step.shape != first.shape or [axes for _, axes in step.members] != [axes for _, axes in first.members]:
            return False
        if carried is not None and step.members[carried][0] != given + i - 1:
            return False
        return all(source < given + begin for k, (source, _) in enumerate(step.members) if k != carried)

    while end < len(steps) and fits(end):
        end += 1
    return end
