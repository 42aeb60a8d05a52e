"""The command line: `python -m benchmark --help`. Commands that only read start without torch."""
