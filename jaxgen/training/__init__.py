"""Training of any model: state, step, averages, loop, checkpoints, devices."""

from jaxgen.training.checkpoint import CheckpointMismatch, Checkpoints
from jaxgen.training.ema import Ema, power_ema, power_gamma, update_ema, warmup_ema
from jaxgen.training.lock import DirectoryInUse
from jaxgen.training.log import History
from jaxgen.training.loop import Diverged, FitResult, Interrupted, fit
from jaxgen.training.mesh import Layout, batch_sharding, data_mesh, fully_sharded, gather, place, replicated
from jaxgen.training.state import TrainState, create_state
from jaxgen.training.step import LossFn, make_train_step

__all__ = [
    "CheckpointMismatch",
    "Checkpoints",
    "DirectoryInUse",
    "Diverged",
    "Ema",
    "FitResult",
    "History",
    "Interrupted",
    "Layout",
    "LossFn",
    "TrainState",
    "batch_sharding",
    "create_state",
    "data_mesh",
    "fit",
    "fully_sharded",
    "gather",
    "make_train_step",
    "place",
    "power_ema",
    "power_gamma",
    "replicated",
    "update_ema",
    "warmup_ema",
]
