"""What a run is asked to do: the recipe's settings and the run's whole configuration, checked and frozen."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from udbench.axes import AXES, Axis

Pixels = Annotated[int, Field(ge=4, le=4096)]
Size = Pixels | tuple[Pixels, Pixels]

Storage = Literal["pixels", "files", "jpeg"]
Crop = Literal["resize", "random"]
Side = Literal["short", "height"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DomainSettings(_Frozen):
    """What one domain may have of its own: `--set domain.NAME.KEY=VALUE`."""

    batch_size: int | None = Field(None, ge=1, description="rows of this domain in a round")
    image_size: Size | None = Field(None, description="pixels, one number or [height, width]")
    pad: int | None = Field(None, ge=0, description="pixels of padding before the random crop")
    flip: bool | None = Field(None, description="mirror half of the training images")
    storage: Storage | None = Field(None, description="how this domain's images are kept once prepared")
    crop: Crop | None = Field(
        None, description="what the network sees of an image: all of it resized, or a random crop"
    )
    resize: int | None = Field(None, ge=1, description="pixels of the side that crop=random and storage=jpeg scale to")
    resize_side: Side | None = Field(None, description="the side that is scaled to `resize`")
    aspect_jitter: float | None = Field(
        None, ge=0, lt=1, description="how much longer or shorter the sides of a random crop may be"
    )
    weight: float | None = Field(None, gt=0, description="weight of this domain's loss in shared gradients")
    weight_decay: float | None = Field(None, ge=0, description="weight decay of what this domain owns")
    head: dict[str, Any] = Field(default_factory=dict, description="what the architecture's heads can be told")


_NOTHING = DomainSettings.model_validate({})


class NormSettings(_Frozen):
    """What the normalisations do beyond their defaults: `--set norm.KEY=VALUE`."""

    recalibrate: int = Field(0, ge=0, description="after training, take the moments anew over this many rounds")


_INDEX = re.compile(r"\[(-?\d{1,4}|(-?\d{1,4})?:(-?\d{1,4})?)\]")
Trained = Literal["all", "private", "head"]
_TRAINED = "what is trained: all; private, what each domain owns, on a frozen trunk; or head, the heads alone"


class Phase(_Frozen):
    """A part of a recipe's training, in the order given: `[[phases]]` in a file."""

    domains: str | tuple[str, ...] = Field(
        "new",
        description="names, or: all; new, those that the run of --from does not bring (else all); or an index or slice "
        "of the new ones as Python writes it, [0], [1:], [-1] or [:-1]",
    )
    train: Trained = Field("all", description=_TRAINED)
    rounds: int | None = Field(None, ge=1, description="its rounds; as many as the recipe's if not set")
    sequential: bool = Field(False, description="one domain after another, each for so many rounds")

    @field_validator("domains")
    @classmethod
    def _words(cls, domains: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(domains, str) and domains not in ("all", "new") and not _INDEX.fullmatch(domains):
            raise ValueError('expected all, new, an index or slice such as "[0]" or "[1:]", or a list of names')
        return domains


class RecipeSettings(_Frozen):
    """A recipe's flat names: `--set KEY=VALUE`."""

    rounds: int = Field(ge=1, description="descent steps; each sees one batch of every domain")
    train: Trained = Field("all", description=_TRAINED)
    phases: tuple[Phase, ...] = Field((), description="training in several parts, one after another")
    batch_size: int = Field(16, ge=1, description="rows of each domain in a round")
    batch: Literal["pure", "mixed"] = Field(
        "pure",
        description="what shared norms take their moments from in training: the rows of each domain (pure), or those "
        "of all domains together (mixed), which the paper warns of",
    )
    image_size: Size = Field(64, description="pixels, one number or [height, width]")
    pad: int | None = Field(None, ge=0, description="padding before the random crop; an eighth of the size if not set")
    storage: Storage = Field(
        "pixels",
        description="how images are kept once prepared: pixels of image_size; files as they are, in shards; "
        "or jpeg of `resize` pixels, in shards",
    )
    crop: Crop = Field(
        "resize",
        description="what the network sees: all of the image, resized to image_size and shifted by up to `pad` in "
        "training; or a crop of image_size, random in training and central at test",
    )
    resize: int | None = Field(None, ge=1, description="pixels of the side that crop=random and storage=jpeg scale to")
    resize_side: Side = Field("short", description="the side that is scaled to `resize`: the shorter one, or height")
    aspect_jitter: float = Field(
        0.1, ge=0, lt=1, description="crop=random: each side of a training crop is up to this part longer or shorter"
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["steps", "cosine", "constant"] = "steps"
    milestones: tuple[float, ...] = Field((0.5, 0.75, 0.9), description="parts of the rounds where lr is multiplied")
    gamma: float = Field(0.1, gt=0, description="the factor at each milestone")
    final_lr: float = Field(1e-4, ge=0, description="where the cosine ends, at most lr")
    warmup_lr: float = Field(0.01, ge=0, description="the rate of the warm-up, at most lr")
    warmup_rounds: int | None = Field(None, ge=0, description="2 % of the rounds, at most 400, if not set")
    private_grad_scale: Literal["sum", "mean"] = Field(
        "sum",
        description="a private parameter's gradient over domains: the sum, which is its own domain's gradient; or the "
        "mean over all domains (Eq. 1 to the letter)",
    )
    val_fraction: float = Field(0.0, ge=0, lt=1, description="part of the training images kept for validation")
    eval_on: Literal["test", "val"] = "test"
    eval_every: int = Field(0, ge=0, description="rounds between evaluations during training; 0 is never")
    eval_batch_size: int = Field(128, ge=2, description="rows of a test batch")
    eval_order: Literal["shuffled", "class"] = Field("shuffled", description="how test images are put into batches")
    checkpoint_rounds: int = Field(500, ge=1, description="most rounds between checkpoints")
    checkpoint_minutes: float = Field(10.0, gt=0, description="most minutes of training between checkpoints")
    norm: NormSettings = Field(default_factory=lambda: NormSettings(recalibrate=0))
    domain: dict[str, DomainSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> RecipeSettings:
        if self.eval_on == "val" and self.val_fraction == 0:
            raise ValueError("eval_on=val needs a validation split; set val_fraction, such as 0.1")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs momentum above 0")
        if self.phases and self.train != "all":
            raise ValueError("with phases, each says what is trained; leave train out")
        if self.norm.recalibrate and (self.phases or self.train != "all"):
            raise ValueError("norm.recalibrate takes all moments anew, and here some must stay; set it to 0")
        if any(not 0 <= m <= 1 for m in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise ValueError("milestones are rising parts of the rounds, between 0 and 1")
        for name in (None, *self.domain):
            self._check_crop(name)
        return self

    def _check_crop(self, domain: str | None) -> None:
        """Check that storage, crop and resize are consistent, of one domain or of the defaults."""
        of = _NOTHING if domain is None else self._of(domain)
        where = "" if domain is None else f"of domain '{domain}': "
        storage, crop = of.storage or self.storage, of.crop or self.crop
        resize = of.resize or self.resize
        if crop == "random" and storage == "pixels":
            raise ValueError(
                f"{where}crop=random is cut from images of their own size; set storage=files or storage=jpeg as well"
            )
        if resize is None and (crop == "random" or storage == "jpeg"):
            needs = "crop=random" if crop == "random" else "storage=jpeg"
            raise ValueError(f"{where}{needs} needs resize, such as 256")

    @property
    def plan(self) -> tuple[Phase, ...]:
        """The phases; a recipe that has none is one phase for what is new."""
        return self.phases or (Phase.model_validate({"train": self.train}),)

    def warmup(self, rounds: int | None = None) -> int:
        """Rounds of warm-up among so many (the recipe's): as set, else 2 % and at most 400."""
        of = self.rounds if rounds is None else rounds
        return min(400, of // 50) if self.warmup_rounds is None else self.warmup_rounds

    def size_of(self, domain: str) -> tuple[int, int]:
        """A domain's image height and width in pixels."""
        size = self._of(domain).image_size or self.image_size
        return (size, size) if isinstance(size, int) else size

    def pad_of(self, domain: str) -> int:
        """Pixels of padding before a domain's random crop: as set, else an eighth of the smaller side."""
        own = self._of(domain).pad
        pad = self.pad if own is None else own
        return min(self.size_of(domain)) // 8 if pad is None else pad

    def batch_of(self, domain: str) -> int:
        """Rows of a domain in a round."""
        return self._of(domain).batch_size or self.batch_size

    def storage_of(self, domain: str) -> Storage:
        """How a domain's images are kept."""
        return self._of(domain).storage or self.storage

    def crop_of(self, domain: str) -> Crop:
        """What the network sees of a domain's images."""
        return self._of(domain).crop or self.crop

    def resize_of(self, domain: str) -> int | None:
        """Pixels that one side of a domain's images is scaled to."""
        return self._of(domain).resize or self.resize

    def side_of(self, domain: str) -> Side:
        """The side of a domain's images that is scaled."""
        return self._of(domain).resize_side or self.resize_side

    def aspect_jitter_of(self, domain: str) -> float:
        """How much longer or shorter the sides of a domain's training crops may be, as a part of them."""
        own = self._of(domain).aspect_jitter
        return self.aspect_jitter if own is None else own

    def flip_of(self, domain: str, usual: bool) -> bool:
        """Whether a domain's images are mirrored; `usual` is what the domain itself says."""
        own = self._of(domain).flip
        return usual if own is None else own

    def weight_of(self, domain: str) -> float:
        """The weight of a domain's loss in the gradients of shared parameters."""
        return self._of(domain).weight or 1.0

    def decay_of(self, domain: str | None) -> float:
        """The weight decay of what a domain owns, or with None of what all share."""
        own = None if domain is None else self._of(domain).weight_decay
        return self.weight_decay if own is None else own

    def head_of(self, domain: str) -> Mapping[str, Any]:
        """What a domain asks of its head."""
        return self._of(domain).head

    def _of(self, domain: str) -> DomainSettings:
        return self.domain.get(domain, _NOTHING)


class Transfer(_Frozen):
    """Where a network came from that is taken to a new domain, and what of it is trained there.

    `run` and `weights_sha256` are the run's, `domains` those it was trained on. `train`: "head", "head+private",
    "all"; or "none", where `shots` images of each class are its mean, drawn `draws` times.
    """

    run: str
    weights_sha256: str
    domains: tuple[str, ...]
    train: Literal["none", "head", "head+private", "all"]
    shots: int = Field(5, ge=1)
    draws: int = Field(10, ge=1)


class Origin(_Frozen):
    """The run that a network goes on from. `domains` are those that it was trained on.

    Where the method is the same, it is `kept` whole and domains are added to it; else its trunk, without what an
    adapter made of it, is where the new network begins.
    """

    run: str
    weights_sha256: str
    domains: tuple[str, ...]
    kept: bool


class _RunConfig(_Frozen):
    """Everything that shapes a run's numbers, and the few things that only shape its speed (group, compile,
    cuda_graphs, device)."""

    suite: str
    suite_version: str
    score: str
    part_of_suite: bool = False
    domains: tuple[str, ...]
    arch: str
    arch_settings: dict[str, Any] = Field(default_factory=dict)
    adapter: str
    adapter_settings: dict[str, Any] = Field(default_factory=dict)
    sharing: str = "deep"
    recipe: str
    settings: RecipeSettings
    transfer: Transfer | None = None
    origin: Origin | None = None
    seed: int = Field(0, ge=0)
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    device: str = "cpu"
    group: int | None = Field(None, ge=1)
    compile: bool = False
    cuda_graphs: bool = False

    @property
    def old_domains(self) -> tuple[str, ...]:
        """The domains that the network was trained on before this run."""
        return self.origin.domains if self.origin is not None and self.origin.kept else ()

    def identity(self, *, seed: bool = True) -> str:
        """A hash of all that shapes the numbers; without the seed, of what entries of a group have in common."""
        return hashlib.sha256(json.dumps(self._shaping(seed=seed), sort_keys=True).encode()).hexdigest()

    def unlike(self, other: _RunConfig, *, seed: bool = True) -> str:
        """How this configuration differs from another in what shapes the numbers, in words ("settings.rounds is 2, not
        12"); empty where their identities are the same."""
        own, theirs = (dict(_flat(config._shaping(seed=seed))) for config in (self, other))
        differing = [key for key in {**own, **theirs} if own.get(key) != theirs.get(key)]
        told = [f"{key} is {_told(own.get(key))}, not {_told(theirs.get(key))}" for key in differing[:_MOST_TOLD]]
        more = len(differing) - len(told)
        return "; ".join([*told, *([f"and {more} more"] if more else [])])

    def _shaping(self, *, seed: bool) -> dict[str, Any]:
        apart: dict[str, Any] = {
            "device": True,
            "group": True,
            "compile": True,
            "cuda_graphs": True,
            "seed": not seed,
            "settings": {"checkpoint_rounds", "checkpoint_minutes", "eval_every"},
        }
        return self.model_dump(mode="json", exclude={key: what for key, what in apart.items() if what})


def _axis_fields(axis: Axis) -> dict[str, Any]:
    """The fields of a configuration for an axis: the name of the choice, and its settings where it has some."""
    fields: dict[str, Any] = {axis.name: (str, ... if axis.default is None else axis.default)}
    if axis.settings:
        fields[axis.settings] = (dict[str, Any], Field(default_factory=dict))
    return fields


_LATER_AXES = {
    name: field for axis in AXES for name, field in _axis_fields(axis).items() if name not in _RunConfig.model_fields
}
_WithAxes = create_model("_WithAxes", __base__=_RunConfig, **_LATER_AXES)


class RunConfig(_WithAxes):
    __doc__ = _RunConfig.__doc__


_MOST_TOLD = 3


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below a mapping with where it stands ("settings.domain.mnist.flip")."""
    if isinstance(value, Mapping) and value:
        for key, each in cast("Mapping[str, Any]", value).items():
            yield from _flat(each, f"{name}.{key}" if name else key)
    elif value is not None and value != {}:
        yield name, value


def _told(value: Any) -> str:
    return "not set" if value is None else json.dumps(value) if isinstance(value, bool | list) else str(value)
