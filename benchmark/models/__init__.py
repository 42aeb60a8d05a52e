"""Networks, built from a model config by `benchmark.models.build`."""
