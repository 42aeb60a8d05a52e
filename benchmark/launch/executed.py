"""Which functions of the project a piece of work executes: traced by the interpreter, whoever calls them."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

from benchmark.config.folders import REPOSITORY
from benchmark.config.run import RunConfig
from benchmark.runs.code import PACKAGE, Executed, of_settings

INSTALLED = ("site-packages", "dist-packages")
"""Folders of packages that are not a network's own, though they lie below its file."""


@contextmanager
def traced() -> Iterator[dict[int, CodeType]]:
    """All that is executed in the block, of whatever module, as a dict that fills with code objects by their id."""
    found: dict[int, CodeType] = {}
    if sys.version_info >= (3, 12):
        with _monitored(found):
            yield found
    else:
        with _profiled(found):
            yield found


if sys.version_info >= (3, 12):

    @contextmanager
    def _monitored(found: dict[int, CodeType]) -> Iterator[None]:
        monitoring = sys.monitoring
        event = monitoring.events.PY_START
        tool = next(number for number in range(6) if monitoring.get_tool(number) is None)

        def note(code: CodeType, offset: int) -> object:
            found[id(code)] = code
            return monitoring.DISABLE

        monitoring.use_tool_id(tool, "benchmark")
        monitoring.register_callback(tool, event, note)
        monitoring.set_events(tool, event)
        monitoring.restart_events()  # also what an earlier block was told once
        try:
            yield
        finally:
            monitoring.set_events(tool, monitoring.events.NO_EVENTS)
            monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)

else:

    @contextmanager
    def _profiled(found: dict[int, CodeType]) -> Iterator[None]:
        def note(frame, event, argument):  # type: ignore[no-untyped-def]
            if event == "call":
                code = frame.f_code
                found[id(code)] = code

        before, before_in_threads = sys.getprofile(), threading.getprofile()
        sys.setprofile(note)
        threading.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(before_in_threads)


def used_by_run(found: dict[int, CodeType], config: RunConfig) -> list[Executed]:
    """What counts as executed of a run whose miniature was traced.

    That is what it executed of this package, of the user's own files and of files in their folders, and what counts by
    the run's settings.
    """
    own = [Path(entry.rpartition(":")[0]).parent for entry in config.entries]
    files = {name: _as_recorded(Path(name), own) for name in {code.co_filename for code in found.values()}}
    executed = [
        Executed(file, code.co_qualname, code.co_firstlineno)
        for code in found.values()
        # Not the bodies of files and classes, which run where something is imported only now.
        if (file := files[code.co_filename]) and code.co_flags & inspect.CO_OPTIMIZED
    ]
    return [*executed, *of_settings(config)]


def _as_recorded(path: Path, own: Sequence[Path]) -> str | None:
    """A file's name in code.json; None of one that is neither of this package nor below one of the folders `own`."""
    real = Path(os.path.realpath(path))
    if real.is_relative_to(REPOSITORY / PACKAGE):
        return real.relative_to(REPOSITORY).as_posix()
    if real.suffix != ".py" or any(part in INSTALLED for part in real.parts):
        return None
    for folder in own:
        whole = Path(os.path.realpath(folder))
        if real.is_relative_to(whole):
            return (folder / real.relative_to(whole)).as_posix()
    return None
