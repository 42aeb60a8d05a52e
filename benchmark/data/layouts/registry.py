"""Every layout that is known. To add one, write a file such as hmdb51.py and add a line here."""

from __future__ import annotations

from benchmark.data.layouts.class_folders import CLASS_FOLDERS
from benchmark.data.layouts.frame_lists import FRAME_LISTS
from benchmark.data.layouts.hmdb51 import HMDB51
from benchmark.data.layouts.kinetics_csv import KINETICS_CSV
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.mini_kinetics import MINI_KINETICS_CSV, MINI_KINETICS_FOLDERS
from benchmark.data.layouts.something import SOMETHING_V1, SOMETHING_V2
from benchmark.data.layouts.ucf101 import UCF101

LAYOUTS: tuple[Layout, ...] = (
    # The first that is recognised is read: official files, then frame lists, then folders without label files.
    SOMETHING_V1,
    SOMETHING_V2,
    UCF101,
    HMDB51,
    KINETICS_CSV,
    MINI_KINETICS_CSV,
    FRAME_LISTS,
    CLASS_FOLDERS,
    MINI_KINETICS_FOLDERS,
)
