"""One training and evaluation: optimiser groups, schedules, the loop, evaluation by views, checkpoints."""
