"""The gradient of a batch that may come in parts, of the recognition loss and of a projection loss beside it."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.config.run import TrainConfig
from benchmark.train.joint import JointGradient


class BatchGradient:
    """The mean over the clips of a batch, summed in `.grad` from its parts (`recipe.device_batch`)."""

    def __init__(self, model: nn.Module, recipe: TrainConfig, iteration: int, iterations: int) -> None:
        """`iteration` is this batch's number among all those of the training, from 1."""
        self._model, self._recipe, self._joint = model, recipe, None
        self.clips = 0
        joint = recipe.joint
        if joint.strategy != "none":
            trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
            self._joint = JointGradient(
                [p for name, p in trained if name.startswith("representation.")],
                [p for name, p in trained if not name.startswith("representation.")],
                joint.strategy,
                alpha=joint.alpha,
                gamma=joint.gamma,
                lam=joint.lam,
                step=iteration,
                total=iterations,
            )

    def add(self, clips: int, loss: Tensor, residual: Tensor | None) -> None:
        """A part: how many clips, their mean recognition loss, and their mean projection loss if there is one."""
        self.clips += clips
        if self._recipe.parts > 1:
            share = clips / self._recipe.batch_size
            loss, residual = loss * share, None if residual is None else residual * share
        if residual is not None and self._joint is not None:
            self._joint.add(residual, loss)
        elif residual is not None and self._recipe.residual_weight:
            (loss + self._recipe.residual_weight * residual).backward()
        else:
            loss.backward()

    def finish(self) -> float:
        """After the last part. Returns the weight of the projection loss."""
        weight = self._recipe.residual_weight if self._joint is None else self._joint.finish()
        # Parts count by their share of the whole batch, but the mean is over the clips that could be read.
        if self._recipe.parts > 1 and self.clips != self._recipe.batch_size:
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(self._recipe.batch_size / self.clips)
        return weight
