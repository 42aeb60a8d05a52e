"""Cells, statistics, claims, tables and plots of a table's runs. Imports without torch, scipy and matplotlib."""
