"""Training of any model: state, step, averages, loop, checkpoints, devices."""

from jaxgen.training.adversarial import AdversarialState, create_adversarial_state, make_adversarial_step
from jaxgen.training.checkpoint import CheckpointMismatch, Checkpoints
from jaxgen.training.ema import Ema, power_ema, power_gamma, update_ema, warmup_ema
from jaxgen.training.interrupt import StopRequest, stop_on_signals
from jaxgen.training.lock import DirectoryInUse
from jaxgen.training.log import History
from jaxgen.training.loop import Diverged, FitResult, Interrupted, fit
from jaxgen.training.mesh import Layout, batch_sharding, data_mesh, fully_sharded, gather, place, replicated
from jaxgen.training.state import TrainState, create_state
from jaxgen.training.step import LossFn, make_train_step

__all__ = [
    "AdversarialState",
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
    "StopRequest",
    "TrainState",
    "batch_sharding",
    "create_adversarial_state",
    "create_state",
    "data_mesh",
    "fit",
    "fully_sharded",
    "gather",
    "make_adversarial_step",
    "make_train_step",
    "place",
    "power_ema",
    "power_gamma",
    "replicated",
    "stop_on_signals",
    "update_ema",
    "warmup_ema",
]
