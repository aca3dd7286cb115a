"""An exercise that stands for any, for tests of what exercises share."""

from experiments.kit.exercise import Exercise

SOME = Exercise("some", "Some title", "What is it?", "Nobody 2020", "1", "nothing")
