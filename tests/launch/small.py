"""A run of seconds on a user's data, which several tests bring to its end."""

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig

SMALL = RunConfig(
    model=TsmResNetConfig(depth=18, width=0.125, dropout=0.5),
    data=DataConfig(dataset="ucf101", size=32, segments=2, flip=True),
    train=TrainConfig(epochs=2, warmup_epochs=0, batch_size=5, lr=0.05),
    eval=EvalConfig(scale=36),
)
