"""Weights for a timm network: from a file, which is checked key by key, or from the Hub."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import get_session
from timm.models import load_state_dict, set_pretrained_check_hash
from torch import Tensor, nn

from udbench import SettingError, UdbenchError

SECONDS = 5.0
"""The timeout of the Hub, after which only its cache is used."""


def from_file(arch: str, make: Callable[..., nn.Module], file: str) -> nn.Module:
    """Create the network with the weights of a file, converted by timm.

    timm renames the keys of other codebases that it knows, and resizes position embeddings to the images. Raises
    SettingError for a file that does not hold only tensors, and for weights of another network.
    """
    tensors = _tensors(file)
    plain = make()
    source = {"state_dict": tensors, "custom_load": False}
    with _loading(type(plain)) as results:
        try:
            net = make(pretrained=True, pretrained_cfg_overlay=source)
        except UdbenchError:
            raise
        except Exception as error:  # timm's conversion raises various errors for unknown keys
            raise SettingError(_differs(arch, file, plain, tensors, error)) from None
    left_out = _classifiers(net)
    missing = [key for result in results for key in result.missing_keys]
    unknown = [key for result in results for key in result.unexpected_keys if not key.startswith(left_out)]
    if not results or missing or unknown:
        raise SettingError(_differs(arch, file, plain, tensors, None, missing, unknown))
    cfg: Any = net.pretrained_cfg
    cfg.pop("state_dict", None)  # it would be copied with the network
    return net


def from_hub(arch: str, make: Callable[..., nn.Module], repository: str) -> nn.Module:
    """Create the network with timm's pretrained weights. Raises UdbenchError if they are not available."""
    where = f" (model.safetensors of {constants.ENDPOINT}/{repository})" if repository else ""
    set_pretrained_check_hash(True)
    with _not_waiting():
        try:
            return make(pretrained=True)
        except UdbenchError:
            raise
        except Exception as error:
            raise UdbenchError(
                f"arch.pretrained=true: the pretrained weights of '{arch}' cannot be downloaded here and are not in "
                f"the Hub's cache ({type(error).__name__}); download them on another machine{where} and "
                "give the file with --set arch.weights=FILE"
            ) from None
        finally:
            set_pretrained_check_hash(False)


def _tensors(file: str) -> dict[str, Tensor]:
    path = Path(file).expanduser()
    try:
        found: Any = load_state_dict(str(path), weights_only=True)
    except FileNotFoundError:
        raise SettingError(f"arch.weights={file}: there is no such file") from None
    except Exception as error:
        if isinstance(error.__cause__, pickle.UnpicklingError) and "weights_only" in str(error):
            raise SettingError(
                f"arch.weights={file}: it is a pickle with more than tensors, which could run any program; save only "
                "its state_dict(), preferably as .safetensors"
            ) from None
        raise SettingError(
            f"arch.weights={file}: it cannot be read as tensors ({type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')[:200]})"
        ) from None
    if not isinstance(found, Mapping) or not found or not all(isinstance(each, Tensor) for each in found.values()):
        raise SettingError(f"arch.weights={file}: it does not hold tensors by name; give a network's state_dict()")
    return dict(found)


@contextmanager
def _loading(network: type[nn.Module]) -> Iterator[list[Any]]:
    """Within, collect the results of `load_state_dict` of networks of this class, and silence timm's log of them."""
    results: list[Any] = []
    log = logging.getLogger("timm.models")
    level = log.level
    log.setLevel(logging.ERROR)
    plain = network.load_state_dict

    def load(self: nn.Module, *values: Any, **named: Any) -> Any:
        results.append(plain(self, *values, **named))
        return results[-1]

    own = vars(network).get("load_state_dict")
    network.load_state_dict = load
    try:
        yield results
    finally:
        log.setLevel(level)
        if own is None:
            del network.load_state_dict
        else:
            network.load_state_dict = own


def _differs(
    arch: str,
    file: str,
    plain: nn.Module,
    tensors: Mapping[str, Tensor],
    error: Exception | None,
    missing: list[str] | None = None,
    unknown: list[str] | None = None,
) -> str:
    """Describe how a file's tensors differ from a network's: the first key and the number, of each kind."""
    ours, left_out = plain.state_dict(), _classifiers(plain)
    if missing is None or unknown is None or not (missing or unknown):
        missing = [key for key in ours if key not in tensors]
        unknown = [key for key in tensors if key not in ours and not key.startswith(left_out)]
    shaped = [key for key, value in ours.items() if key in tensors and tensors[key].shape != value.shape]
    parts = [
        f"{len(keys)} {what} ('{keys[0]}'{' first' if len(keys) > 1 else ''}{more})"
        for keys, what, more in (
            (missing, "missing", ""),
            (unknown, "unknown to it", ""),
            (shaped, "of another shape", shaped and f": {_shapes(tensors[shaped[0]], ours[shaped[0]])}"),
        )
        if keys
    ]
    if not parts and error is not None:
        parts = [f"timm cannot read them for it: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"]
    shown = ", ".join(sorted(key for key in tensors if key.startswith(left_out)))
    aside = f"; its classifier ({shown:.80}) is left out" if shown else ""
    return (
        f"arch.weights={file}: these are not the weights of '{arch}': {', '.join(parts) or 'nothing fits'}{aside}; "
        "give a file of that network, or the --arch of the file"
    )


def _shapes(theirs: Tensor, ours: Tensor) -> str:
    return f"{tuple(theirs.shape)} where it has {tuple(ours.shape)}"


def _classifiers(net: nn.Module) -> tuple[str, ...]:
    """The key prefixes of a network's classifiers, according to timm."""
    cfg: Any = net.pretrained_cfg
    names: Any = cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


@contextmanager
def _not_waiting() -> Iterator[None]:
    """Within, use the Hub only if it answers now, else only its cache. Otherwise it would be tried for a minute."""
    before = constants.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # for any reason, the Hub is not available
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
