"""Lazy import of the libraries behind the callbacks."""

from __future__ import annotations

import importlib
from typing import Any

from udbench import SettingError


def library(name: str) -> Any:
    """Import a library. Raises SettingError, with what to install, if it is missing or broken."""
    install = f"pip install 'udbench-callbacks[{name}]'"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise _missing(name, install) from None
        raise SettingError(
            f"--callback {name}: {name} cannot be imported here ({error}); install it again: {install}"
        ) from error
    except ImportError as error:
        raise SettingError(
            f"--callback {name}: {name} cannot be imported here ({error}); install it again: {install}"
        ) from error
    if getattr(module, "__file__", None) is None:  # a plain folder of that name, such as the one that wandb makes
        raise _missing(name, install)
    return module


def _missing(name: str, install: str) -> SettingError:
    return SettingError(f"--callback {name} needs {name}, which is not installed here: {install}")
