"""What is timed: our loop, what bounds it from above, and what people write instead."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from udbench.plugin.contracts_model import Input
from udbench.plugin.contracts_run import NullCallback
from udbench.runs.job import Job, build
from udbench.seeds import TRUNK
from udbench.train.checkpoint import Progress
from udbench.train.evaluate import eval_batch_rows, evaluate
from udbench.train.input.feed import DomainData, Feed
from udbench.train.loop import train
from udbench.train.narrow import avoiding
from udbench.train.norm.norms import BATCH_NORMS
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.parallel.comm import Comm
from udbench.train.precision import computing, convolving, parameter_dtype
from udbench.train.rng import seeded
from udbench.train.route import Slice
from udbench.train.schedule import Group, assign, make_schedule
from udbench.train.step import OnPart, Step, train_round

TRAIN_IMAGES, TEST_IMAGES = 512, 256


def steady(job: Job) -> Job:
    """The job with a learning rate at which noise can be trained on for ever."""
    settings = job.config.settings.model_copy(
        update={
            "lr": 1e-4,
            "schedule": "constant",
            "warmup_rounds": 0,
            "eval_every": 0,
            "checkpoint_rounds": 10**9,
            "checkpoint_minutes": 1e9,
        }
    )
    return replace(job, config=job.config.model_copy(update={"settings": settings}))


class UdbenchLoop:
    """The real loop: feed, grouped forward, backward, step, and what happens between rounds.

    With `comm`, this process's part of what several do together, dealt by the `costs` of a row.
    """

    def __init__(
        self,
        job: Job,
        inputs: dict[str, Input],
        data: Mapping[str, DomainData],
        group: int | None,
        *,
        compiled: bool = False,
        graphs: bool = False,
        comm: Comm | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        config = job.config
        self.job, self.at = job, 0
        self.device = torch.device(config.device)
        self.model = build(job, inputs)
        self.schedule = make_schedule(inputs, config.settings, group, self._dealt(comm, costs))
        self.feed = Feed(data, config.seed, self.device, parameter_dtype(config.precision))
        self.optimizer = make_optimizer(self.model, config.settings)
        self.rows = {name: np.asarray(domain.test_rows) for name, domain in data.items()}
        self.step = Step(
            self.model, self.feed, config.settings, config.precision, compiled=compiled, graphs=graphs, comm=comm
        )

    @property
    def images(self) -> int:
        """Images of a round, of all processes."""
        return sum(self.step.batch.values())

    def _dealt(self, comm: Comm | None, costs: Mapping[str, float] | None) -> tuple[Slice, ...] | None:
        """This process's part of a round where several share it, as a run deals it."""
        if comm is None or comm.size == 1:
            return None
        assert costs is not None
        rows = {name: self.job.config.settings.batch_of(name) for name in self.model.domains}
        assignment = assign(rows, costs, comm.size)
        comm.assign(assignment)
        return assignment.slices[comm.rank]

    def rounds(self, number: int) -> None:
        """Train for so many rounds, as a run does."""
        settings = self.job.config.settings.model_copy(update={"rounds": self.at + number})
        train(
            self.step,
            self.optimizer,
            self.schedule,
            settings,
            start=Progress(round=self.at),
            callback=NullCallback(),
            save=lambda progress: None,
            score=lambda round: None,
        )
        self.at += number

    def timed_round(self, on_part: OnPart) -> None:
        """Train for one round whose parts are reported to `on_part`, as by `train_round`."""
        set_learning_rate(self.optimizer, self.job.config.settings, 0)
        train_round(self.step, self.optimizer, self.at, self.schedule.groups, on_part)
        self.at += 1

    def evaluate(self) -> None:
        """Score all test images, as a run does."""
        config = self.job.config
        by_batch = self.job.adapter.eval_stats == "batch"
        evaluate(self.model, self.feed, self.rows, config.settings, config.precision, by_batch=by_batch)


class UpperBound:
    """The same network with ordinary norms on one big batch that was made beforehand, and nothing else.

    Same heads, loss, optimizer, number format and memory layout. Domains of several image shapes are a batch each.
    `tests` images are scored in batches as large as ours. `narrow`: whether the network is, as `train.narrow` has it.
    """

    def __init__(self, job: Job, inputs: dict[str, Input], feed: Feed, tests: int, narrow: bool) -> None:
        config = job.config
        self.narrow = narrow
        self.precision, self.device = config.precision, torch.device(config.device)
        dtype = parameter_dtype(config.precision)
        with seeded(config.seed, TRUNK):
            network = job.architecture.build(inputs, job.arch_settings)
        self.trunk = network.trunk.to(self.device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches: list[tuple[Tensor, list[Tensor], Group]] = []
        self.heads = nn.ModuleDict()
        batch = {name: config.settings.batch_of(name) for name in inputs}
        for group in make_schedule(inputs, config.settings, None).groups:
            images, labels = feed.next(0, group, batch)
            with torch.no_grad():
                shape = tuple(self.trunk(images[:2]).shape[1:])
            self.batches.append((images, labels, group))
            for part in group:
                self.heads[part.domain] = network.head(inputs[part.domain], shape)
        self.heads.to(self.device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.whole = nn.ModuleList([self.trunk, self.heads])
        self.optimizer = make_optimizer(self.whole, config.settings)
        self.images = sum(len(images) for images, _, _ in self.batches)
        self.at_once = min(eval_batch_rows(config.settings.eval_batch_size, self.device), tests)
        self.tests = self._tests(self.at_once)

    def rounds(self, number: int) -> None:
        """So many steps."""
        for _ in range(number):
            self.forward_backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def forward_backward(self) -> None:
        """Gradients of the mean loss over the domains."""
        domains = len(self.heads)
        for images, labels, group in self.batches:
            with computing(self.precision, self.device), avoiding(self.narrow, self.device):
                maps = self.trunk(images).split([part.rows for part in group])
                logits = [self.heads[part.domain](own) for part, own in zip(group, maps, strict=True)]
            losses = [F.cross_entropy(z.float(), y) for z, y in zip(logits, labels, strict=True)]
            with convolving(self.device):
                (torch.stack(losses).sum() / domains).backward()

    def forwards(self, images: int) -> None:
        """Forwards alone, as at test, of so many images, `at_once` at a time."""
        self.whole.eval()
        with torch.inference_mode():
            for at in range(images // self.at_once):
                rows, name = self.tests[at % len(self.tests)]
                with computing(self.precision, self.device), avoiding(self.narrow, self.device):
                    self.heads[name](self.trunk(rows))
        self.whole.train()

    def _tests(self, size: int) -> list[tuple[Tensor, str]]:
        """A test batch for each image shape."""
        batches: list[tuple[Tensor, str]] = []
        for images, _, group in self.batches:
            rows = images[torch.arange(size, device=self.device) % len(images)]
            batches.append((rows.contiguous(memory_format=torch.channels_last), group[0].domain))
        return batches


class PlainPyTorch:
    """What people write: a DataLoader for each domain that decodes PNG files with PIL and torchvision's transforms in
    a worker process, and domain after domain in fp32 and NCHW through norms looked up by name; one step a round."""

    def __init__(self, job: Job, inputs: dict[str, Input], data: Mapping[str, DomainData]) -> None:
        config = job.config
        self.device = torch.device(config.device)
        with seeded(config.seed, TRUNK):
            network = job.architecture.build(inputs, job.arch_settings)
        self.trunk = network.trunk
        self.heads = nn.ModuleDict()
        for name, given in inputs.items():
            with torch.no_grad():
                maps = self.trunk(torch.zeros(2, given.channels, given.height, given.width))
            self.heads[name] = network.head(given, tuple(maps.shape[1:]))
        self.norms = _by_name(self.trunk, list(inputs))
        self.whole = nn.ModuleList([self.trunk, self.heads]).to(self.device)
        self.optimizer = _plain_optimizer(self.whole, job)
        self.loaders = {
            name: DataLoader(
                _Files(domain),
                batch_size=config.settings.batch_of(name),
                shuffle=True,
                drop_last=True,
                num_workers=1,
                persistent_workers=True,
                pin_memory=self.device.type == "cuda",
            )
            for name, domain in data.items()
        }
        self.streams = {name: _endless(loader) for name, loader in self.loaders.items()}
        self.images = sum(config.settings.batch_of(name) for name in data)

    def rounds(self, number: int) -> None:
        """So many rounds: each domain's batch in its turn, then a step."""
        for _ in range(number):
            for name, stream in self.streams.items():
                images, labels = next(stream)
                for norm in self.norms:
                    norm.domain = name
                logits = self.heads[name](self.trunk(images.to(self.device, non_blocking=True)))
                loss = F.cross_entropy(logits, labels.to(self.device, non_blocking=True))
                (loss / len(self.streams)).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def close(self) -> None:
        """End the workers."""
        self.streams.clear()
        self.loaders.clear()


class _ByName(nn.Module):
    """A norm for each domain, the current one looked up."""

    def __init__(self, norm: nn.Module, domains: Sequence[str]) -> None:
        super().__init__()
        import copy

        self.norms = nn.ModuleDict({name: copy.deepcopy(norm) for name in domains})
        self.domain = domains[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[self.domain](x)


def _by_name(trunk: nn.Module, domains: Sequence[str]) -> list[_ByName]:
    norms: list[_ByName] = []
    for parent in list(trunk.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BATCH_NORMS):
                norms.append(_ByName(child, domains))
                setattr(parent, name, norms[-1])
    return norms


def _plain_optimizer(module: nn.Module, job: Job) -> torch.optim.Optimizer:
    settings = job.config.settings
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        module.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


class _Files(Dataset[tuple[Tensor, int]]):
    """A domain's training images as PNG files in memory, decoded anew each time."""

    def __init__(self, domain: DomainData) -> None:
        from torchvision import transforms

        assert isinstance(domain.images, np.ndarray)
        self.files = [_png(domain.images[row]) for row in domain.train_rows]
        self.labels = [int(label) for label in domain.labels[domain.train_rows]]
        size = domain.images.shape[1:3]
        steps: list[Any] = [transforms.RandomCrop(size, padding=domain.pad)]
        if domain.flip:
            steps.append(transforms.RandomHorizontalFlip())
        mean, std = [float(m) / 255 for m in domain.mean], [float(s) / 255 for s in domain.std]
        steps += [transforms.ToTensor(), transforms.Normalize(mean * (3 // len(mean)), std * (3 // len(std)))]
        self.transform: Callable[[Any], Tensor] = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(io.BytesIO(self.files[index])) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(memory, "PNG")
    return memory.getvalue()


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
