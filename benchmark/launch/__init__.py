"""Run directories and the executors that fill them: this machine's processes, or a SLURM cluster."""
