"""What decides a run: model, modules, representations, data, training and evaluation. Imports without torch."""
