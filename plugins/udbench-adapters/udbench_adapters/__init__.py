"""Adapters for udbench: the paper's normalisations (Table 4), and later methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from udbench import Adapter, hookimpl

if TYPE_CHECKING:
    from udbench import Surgeon

CITATION = (
    "H. Bilen, A. Vedaldi: Universal representations: The missing link between faces, text, planktons, and cat "
    "breeds, 2017"
)


@hookimpl
def udbench_adapters() -> list[Adapter]:
    from udbench_adapters.beyond import adapters
    from udbench_adapters.settings import InstanceNormSettings

    return [
        Adapter(
            name="universal-bn",
            attach=universal_bn,
            summary="batch norm with one scale and one running mean and variance for all domains",
            citation=CITATION,
        ),
        Adapter(
            name="bn-plus",
            attach=bn_plus,
            eval_stats="batch",
            summary="batch norm with one scale for all domains, which uses the batch's statistics at test, too (BN+)",
            citation=CITATION,
        ),
        Adapter(
            name="domain-moments",
            attach=domain_moments,
            summary="batch norm with one scale for all domains and running statistics for each domain",
            citation=CITATION,
        ),
        Adapter(
            name="domain-bn",
            attach=domain_bn,
            summary="batch norm with a scale and running statistics for each domain: the paper's best",
            citation=CITATION,
        ),
        Adapter(
            name="universal-in",
            attach=universal_in,
            settings=InstanceNormSettings,
            summary="instance norm with one scale for all domains",
            citation=CITATION,
        ),
        Adapter(
            name="domain-in",
            attach=domain_in,
            settings=InstanceNormSettings,
            summary="instance norm with a scale for each domain",
            citation=CITATION,
        ),
        Adapter(
            name="domain-scale",
            attach=domain_scale,
            summary="a scale and bias for each domain after every layer of a network without norms",
            citation=CITATION,
        ),
        *adapters(),
    ]


def universal_bn(surgeon: Surgeon, settings: None) -> None:
    """BN(x) = s (x - m) / sqrt(v + eps) + b, with s, b and the running m, v shared by all domains."""
    for path in surgeon.batch_norms():
        surgeon.norm_stats(path, "shared")


def bn_plus(surgeon: Surgeon, settings: None) -> None:
    """Like universal_bn, but m and v are those of the pure batch, at test as in training."""
    for path in surgeon.batch_norms():
        surgeon.norm_stats(path, "batch")


def domain_moments(surgeon: Surgeon, settings: None) -> None:
    """BN(x) = s (x - m_d) / sqrt(v_d + eps) + b, with shared s and b, and the running m_d and v_d of each domain."""
    for path in surgeon.batch_norms():
        surgeon.norm_stats(path, "domain")


def domain_bn(surgeon: Surgeon, settings: None) -> None:
    """BN_d(x) = s_d (x - m_d) / sqrt(v_d + eps) + b_d: 2C private parameters per norm and domain."""
    for path in surgeon.batch_norms():
        surgeon.per_domain(path)


def universal_in(surgeon: Surgeon, settings: object) -> None:
    """IN(x) = s (x - m(x)) / sqrt(v(x) + eps) + b with m and v of each image and channel; s and b shared."""
    _instance_norms(surgeon, settings, private=False)


def domain_in(surgeon: Surgeon, settings: object) -> None:
    """Like universal_in, with s_d and b_d of each domain."""
    _instance_norms(surgeon, settings, private=True)


def domain_scale(surgeon: Surgeon, settings: None) -> None:
    """y = s_d * layer(x) + b_d after every shared convolution and linear layer, s_d = 1 and b_d = 0 at first.

    2C private parameters per layer and domain for C outputs. Raises UdbenchError for a network with norms, whose scales
    would do the same (section 3.1), and for one without such layers.
    """
    from udbench_adapters.scale import attach

    attach(surgeon)


def _instance_norms(surgeon: Surgeon, settings: object, *, private: bool) -> None:
    from udbench_adapters.settings import InstanceNormSettings

    assert isinstance(settings, InstanceNormSettings)
    paths = surgeon.batch_norms()
    for path in paths:
        if path == paths[-1] and settings.last_norm == "none":
            surgeon.remove_norm(path)
            continue
        if path != paths[-1] or settings.last_norm == "keep":
            surgeon.instance_norm(path)
        if private:
            surgeon.per_domain(path)
