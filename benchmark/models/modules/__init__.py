"""Mechanisms, one a file."""
