"""What tests of udbench and of its plugins are made of: examples of domains, writers of formats, toys, records.

The names here import no torch; toy networks and domains are in `udbench.testing.toys`.
"""

from __future__ import annotations

from udbench.testing.formats import (
    coco,
    encoded,
    idx,
    pickled,
    write_annotations,
    write_bytes,
    write_idx,
    write_lines,
    write_mat,
    write_pickle,
    write_picture,
    write_shard,
    write_table,
    write_tar,
    write_zip,
)
from udbench.testing.trees import write_class_folders, write_example

__all__ = [
    "coco",
    "encoded",
    "idx",
    "pickled",
    "write_annotations",
    "write_bytes",
    "write_class_folders",
    "write_example",
    "write_idx",
    "write_lines",
    "write_mat",
    "write_pickle",
    "write_picture",
    "write_shard",
    "write_table",
    "write_tar",
    "write_zip",
]
