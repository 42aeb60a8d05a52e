"""The log of a run: what its process prints, log.txt of its directory."""


def log(text: str) -> None:
    """A line of the log, written at once."""
    print(text, flush=True)
