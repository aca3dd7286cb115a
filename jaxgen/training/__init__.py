"""Training of any model: state, step, averages, loop, checkpoints, devices."""

from jaxgen.training.checkpoint import CheckpointMismatch, Checkpoints
from jaxgen.training.ema import Ema, power_ema, power_gamma, update_ema, warmup_ema
from jaxgen.training.log import History
from jaxgen.training.loop import Diverged, FitResult, Interrupted, fit
from jaxgen.training.mesh import batch_sharding, data_mesh, replicate
from jaxgen.training.state import TrainState, create_state
from jaxgen.training.step import LossFn, make_train_step

__all__ = [
    "CheckpointMismatch",
    "Checkpoints",
    "Diverged",
    "Ema",
    "FitResult",
    "History",
    "Interrupted",
    "LossFn",
    "TrainState",
    "batch_sharding",
    "create_state",
    "data_mesh",
    "fit",
    "make_train_step",
    "power_ema",
    "power_gamma",
    "replicate",
    "update_ema",
    "warmup_ema",
]
