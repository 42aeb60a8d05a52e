"""Making runs: the job that trains and evaluates one, and who starts it, this machine or a SLURM cluster."""
