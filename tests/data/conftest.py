from __future__ import annotations

from pathlib import Path

import pytest

from udbench.testing.trees import write_class_folders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "Some Images", {"cat": 20, "dog": 15, "eel": 10})
