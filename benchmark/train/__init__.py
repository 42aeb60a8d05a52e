"""One training: optimiser groups, schedules, the loop of an epoch, joint gradients, checkpoints."""
