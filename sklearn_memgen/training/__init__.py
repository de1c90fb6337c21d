"""How a net learns: resident data, the training loop, optimizers."""

from sklearn_memgen.training.anchor import AnchorCallback
from sklearn_memgen.training.batches import (
    ArrayTensors,
    Batch,
    Origin,
    ResidentBatches,
    ResidentDataset,
    Rows,
    SelectedRows,
)
from sklearn_memgen.training.calibration import calibrate
from sklearn_memgen.training.checkpoint import Checkpoint
from sklearn_memgen.training.class_means import ClassMeans
from sklearn_memgen.training.devices import at_most_threads, resolve_device, seeded
from sklearn_memgen.training.displacement import Displacement
from sklearn_memgen.training.displacement_path import DisplacementPath, WayPoints
from sklearn_memgen.training.episodes import EpisodicBatches
from sklearn_memgen.training.fitting import auto_batch_size, auto_max_epochs, train
from sklearn_memgen.training.ftrl import FTRL
from sklearn_memgen.training.guide import Guide
from sklearn_memgen.training.guide_callback import GuideCallback
from sklearn_memgen.training.guide_display import GuideDisplay
from sklearn_memgen.training.guide_path import GuidePath
from sklearn_memgen.training.guided_step import GuideHandle
from sklearn_memgen.training.inheritance import inherit_training
from sklearn_memgen.training.losses import (
    LogisticLoss,
    RegressionLoss,
    pool_logits,
    pool_outputs,
    probabilities,
)
from sklearn_memgen.training.masking import BodyFeatures, MaskedRows, OwnLosses
from sklearn_memgen.training.member import Member, TrainedMember, train_alone
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.observers import Observer
from sklearn_memgen.training.population import Population
from sklearn_memgen.training.progress import ProgressBar
from sklearn_memgen.training.pruning import (
    PruningRule,
    full_masks,
    mask_distance,
    prunable_weights,
    random_masks,
)
from sklearn_memgen.training.regression import ResidentRegressionNet
from sklearn_memgen.training.schedules import SCHEDULES, schedule_factor
from sklearn_memgen.training.stacking_rule import members_a_chunk
from sklearn_memgen.training.threads import worthwhile_threads
from sklearn_memgen.training.ticket import Ticket
from sklearn_memgen.training.trace import Trace

__all__ = [
    "FTRL",
    "SCHEDULES",
    "AnchorCallback",
    "ArrayTensors",
    "Batch",
    "BodyFeatures",
    "Checkpoint",
    "ClassMeans",
    "Displacement",
    "DisplacementPath",
    "EpisodicBatches",
    "Guide",
    "GuideCallback",
    "GuideDisplay",
    "GuideHandle",
    "GuidePath",
    "LogisticLoss",
    "MaskedRows",
    "Member",
    "Observer",
    "Origin",
    "OwnLosses",
    "Population",
    "ProgressBar",
    "PruningRule",
    "RegressionLoss",
    "ResidentBatches",
    "ResidentDataset",
    "ResidentNet",
    "ResidentRegressionNet",
    "Rows",
    "SelectedRows",
    "Ticket",
    "Trace",
    "TrainedMember",
    "WayPoints",
    "at_most_threads",
    "auto_batch_size",
    "auto_max_epochs",
    "calibrate",
    "full_masks",
    "inherit_training",
    "mask_distance",
    "members_a_chunk",
    "pool_logits",
    "pool_outputs",
    "probabilities",
    "prunable_weights",
    "random_masks",
    "resolve_device",
    "schedule_factor",
    "seeded",
    "train",
    "train_alone",
    "worthwhile_threads",
]
