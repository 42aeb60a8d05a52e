"""Mechanisms inside a backbone, one a file: those that are inserted into it, and parts of such."""
