"""A finished run in Python: predictions, logits and features of images, and its network as a plain torch module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from udbench.errors import DataError, SettingError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from udbench.data.store import Store
    from udbench.results import RunResult
    from udbench.runs.inference import DomainFacts
    from udbench.runs.job import Job
    from udbench.train.model import UniversalModel

Images: TypeAlias = "NDArray[np.uint8] | Iterable[Any]"


class LoadedRun:
    """A finished run: its result, and its network to use on images of its domains. `udbench.load_run` makes it.

        run = load_run("runs/4f1c0a9b")
        images, labels = run.test_images("mnist")
        error = (run.predict(images, domain="mnist") != labels).mean()

    `result` is its RunResult, `folder` its folder.

    `images` are either an array (N, H, W, C) uint8 of the network's size, with 1 channel (grey) or 3 (RGB), as
    `test_images` returns it; or an iterable of images of any size, each a path, a file's bytes, a pair (name, bytes)
    whose name errors show, or an array (H, W) or (H, W, C) uint8, which are resized and cropped as the run's test
    images were. An iterable is read a batch at a time, so it may be larger than memory.

    `domain` may be left out for a run of one domain. Results are NumPy arrays, one row for each image, in order; float
    arrays are float32, float64 for a run in fp64. Where the adapter normalises with statistics of the test batch,
    images are taken `eval_batch_size` at a time in their order (shuffle them if they are sorted by class), and one
    image alone is refused.

    All methods raise DataError for images that cannot be used, naming the image, SettingError for a domain that the
    run does not have, RunError where the network gives numbers that are not finite.
    """

    def __init__(
        self,
        *,
        folder: Path,
        result: RunResult,
        job: Job,
        model: UniversalModel,
        facts: Mapping[str, DomainFacts],
        store_of: Callable[[str], Store],
    ) -> None:
        self.folder = folder
        self.result = result
        self._job, self._model, self._facts, self._store_of = job, model, facts, store_of

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that it was trained on."""
        return self._job.config.domains

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the network's stages, which `features` takes."""
        return tuple(stage.name for stage in self._model.stages)

    def class_names(self, domain: str | None = None) -> tuple[str, ...]:
        """A domain's classes, in the order of the labels that `predict` returns.

        Classes that training had no images of are not named; they come last.
        """
        return self._facts[self._domain(domain)].class_names

    def predict(self, images: Images, domain: str | None = None) -> NDArray[np.int64]:
        """The most probable class of each image: labels (N,) int64, as the run was scored."""
        import numpy as np

        found = [each.argmax(dim=1).numpy() for each in self._logits(images, domain)]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def predict_proba(self, images: Images, domain: str | None = None) -> NDArray[np.floating]:
        """The probabilities of a domain's classes: (N, classes)."""
        from torch.nn.functional import softmax

        return self._stacked([softmax(each, dim=1) for each in self._logits(images, domain)], self._classes(domain))

    def logits(self, images: Images, domain: str | None = None) -> NDArray[np.floating]:
        """The logits of a domain's classes: (N, classes)."""
        return self._stacked(list(self._logits(images, domain)), self._classes(domain))

    def features(self, images: Images, domain: str | None = None, *, stage: str | None = None) -> NDArray[np.floating]:
        """The features of images: (N, C), or the map of a stage, mostly (N, C, H, W).

        Without `stage` they are the trunk's output, which the head classifies, averaged over its positions. `stage` is
        one of `stages`; its map is the output of the last of its modules to run (for the last stage, the trunk's
        output), without functional activations that follow. Also raises SettingError: no such stage, no images, or
        maps whose positions are not known.
        """
        from udbench.runs.features import features

        name = self._domain(domain)
        found = [
            features(self._job, self._model, name, self._facts[name], batch, stage)
            for batch in self._batches(name, images)
        ]
        if not found:
            raise SettingError("features of no images have no shape; give at least one image")
        return self._stacked(found, ())

    def test_images(self, domain: str | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The images that the run was scored on, as the network sees them, and their labels, in the order of
        predictions.npz: (N, H, W, C) uint8 and (N,) int64.

        Images that are not prepared any more are prepared again. Raises DataError where they are not here, or are not
        those of the run.
        """
        import numpy as np

        from udbench.runs.job import prepare_data

        name = self._domain(domain)
        data, rows = prepare_data([self._store_of(name)], self._job.config.settings)
        images, places = data[name].images, rows[name]
        if isinstance(images, np.ndarray):
            return np.asarray(images[places]), data[name].labels[places]
        views = [images.pixels(row) for row in places.tolist()]
        return np.stack(views), data[name].labels[places]

    def module(self, domain: str | None = None) -> nn.Module:
        """The network of one domain as a torch module that needs nothing of udbench's routing: a copy, in eval mode.

        It takes images (N, C, H, W) of 0 to 255, uint8 or float, on the run's device, whitens them itself, and returns
        logits (N, classes). Its parameters are float32 (float64 for a run in fp64) and do not require gradients.
        Raises PluginError where a plugin's module cannot be taken apart into domains.
        """
        from udbench.export.extract import single

        name = self._domain(domain)
        facts = self._facts[name]
        return single(self._model, name, facts.mean, facts.std)

    def __repr__(self) -> str:
        of = self.result
        return (
            f"LoadedRun({str(self.folder)!r}, adapter={of.adapter!r}, arch={of.arch!r}, domains={self.domains!r}, "
            f"mean_error={of.mean_error:.2f}, device={self._job.config.device!r})"
        )

    def _repr_html_(self) -> str:
        return self.result._repr_html_()

    def _domain(self, domain: str | None) -> str:
        listed = ", ".join(self.domains)
        if domain is None and len(self.domains) == 1:
            return self.domains[0]
        if domain is None:
            raise SettingError(f"domain is missing: this run has several, {listed}")
        if domain not in self.domains:
            near = nearest(domain, self.domains)
            hint = f" Did you mean '{near}'?" if near else ""
            raise SettingError(f"this run has no domain '{domain}'.{hint}\ndomains: {listed}")
        return domain

    def _classes(self, domain: str | None) -> tuple[int, ...]:
        return (self._facts[self._domain(domain)].num_classes,)

    def _logits(self, images: Images, domain: str | None) -> Iterator[Tensor]:
        from udbench.runs.inference import logits

        name = self._domain(domain)
        for batch in self._batches(name, images):
            yield logits(self._job, self._model, name, self._facts[name], batch)

    def _stacked(self, found: list[Tensor], shape: tuple[int, ...]) -> NDArray[np.floating]:
        import numpy as np

        dtype = np.float64 if self._job.config.precision == "fp64" else np.float32
        arrays = [each.numpy().astype(dtype) for each in found]
        return np.concatenate(arrays) if arrays else np.zeros((0, *shape), dtype=dtype)

    def _batches(self, domain: str, images: Images) -> Iterator[NDArray[np.uint8]]:
        """Views of images (n, H, W, C), `eval_batch_size` at a time."""
        import numpy as np

        size = self._job.config.settings.eval_batch_size
        if isinstance(images, np.ndarray):
            self._check_array(domain, images)
            views: Iterable[NDArray[np.uint8]] = images
        else:
            views = self._views(domain, images)
        return (np.stack(batch) for batch in _in_batches(views, size))

    def _check_array(self, domain: str, images: NDArray[Any]) -> None:
        import numpy as np

        height, width = self._job.config.settings.size_of(domain)
        shape = (height, width, self._facts[domain].channels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
            raise DataError(
                f"'{domain}': an array of images must be (N, {', '.join(map(str, shape))}) uint8, not "
                f"{images.shape} {images.dtype}; give images of other sizes as a list"
            )

    def _views(self, domain: str, images: Iterable[Any]) -> Iterator[NDArray[np.uint8]]:
        from udbench.data.eval_view import eval_pixels
        from udbench.data.image import DamagedImage

        if isinstance(images, str | bytes | os.PathLike) or not isinstance(images, Iterable):
            raise DataError(f"'{domain}': images must be an array or a list of images, not {type(images).__name__}")
        for number, image in enumerate(images):
            name, data = _read(image, f"images[{number}]", domain)
            try:
                yield eval_pixels(data, self._job.config.settings, domain, self._facts[domain].channels)
            except DamagedImage as error:
                raise DataError(f"'{domain}': {name}: {error}") from None


def _read(image: Any, name: str, domain: str) -> tuple[str, bytes | NDArray[np.uint8]]:
    """What errors call an image, and its file's bytes or its pixels."""
    import numpy as np

    match image:
        case bytes():
            return name, image
        case (str(own), bytes(data)):
            return own, data
        case str() | os.PathLike():
            try:
                return str(image), Path(image).read_bytes()
            except OSError as error:
                raise DataError(f"'{domain}': {image}: cannot be read: {error.strerror or error}") from None
        case np.ndarray() if (
            image.dtype == np.uint8
            and image.size
            and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3)))
        ):
            return name, image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    given = f"array {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise DataError(
        f"'{domain}': {name} must be a path, a file's bytes, or an array (H, W) or (H, W, 3) uint8, not {given}"
    )


def _in_batches(images: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Batches of `size` images; a single last image joins the batch before it, since one image is no batch."""
    waiting: list[NDArray[np.uint8]] = []
    for image in images:
        if len(waiting) > size:
            yield waiting[:size]
            waiting = waiting[size:]
        waiting.append(image)
    if waiting:
        yield waiting
