"""Declarative specs: tables, rows, claims, protocols and run configs. Imports without torch."""
