"""Declarative specs: tables, rows, claims and protocols. Imports without torch."""
