"""Methods that came after the paper, and two baselines for them.

Each docstring gives the formula, and the parameters per domain for a layer of C outputs. Unless stated otherwise, the
shared weights are trained with all domains, and are frozen where the recipe or `--train private` freezes the trunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from udbench import Adapter
from udbench_adapters.settings import (
    LoraConvSettings,
    LoraSettings,
    MaskSettings,
    RoutingSettings,
    SsfSettings,
    TapsSettings,
    TsaSettings,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from udbench import Surgeon

BILEN = (
    "H. Bilen, A. Vedaldi: Universal representations: The missing link between faces, text, planktons, and cat "
    "breeds, 2017"
)
CHANG = (
    "W.-G. Chang, T. You, S. Seo, S. Kwak, B. Han: Domain-specific batch normalization for unsupervised domain "
    "adaptation, CVPR 2019"
)
REBUFFI_2017 = (
    "S.-A. Rebuffi, H. Bilen, A. Vedaldi: Learning multiple visual domains with residual adapters, NeurIPS 2017"
)
REBUFFI_2018 = (
    "S.-A. Rebuffi, H. Bilen, A. Vedaldi: Efficient parametrization of multi-domain deep neural networks, CVPR 2018"
)
MALLYA = (
    "A. Mallya, D. Davis, S. Lazebnik: Piggyback: Adapting a single network to multiple tasks by learning to mask "
    "weights, ECCV 2018"
)
MANCINI = (
    "M. Mancini, E. Ricci, B. Caputo, S. Rota Bulo: Boosting binary masks for multi-domain learning through affine "
    "transformations, Machine Vision and Applications 2021 (first as Adding new tasks to a single network with weight "
    "transformations using binary masks, 2018)"
)
WALLINGFORD = (
    "M. Wallingford, H. Li, A. Achille, A. Ravichandran, C. Fowlkes, R. Bhotika, S. Soatto: Task adaptive parameter "
    "sharing for multi-task learning, CVPR 2022"
)
HU = (
    "E. J. Hu, Y. Shen, P. Wallis, Z. Allen-Zhu, Y. Li, S. Wang, L. Wang, W. Chen: LoRA: Low-rank adaptation of large "
    "language models, ICLR 2022"
)
LIAN = (
    "D. Lian, D. Zhou, J. Feng, X. Wang: Scaling & shifting your features: A new baseline for efficient model tuning, "
    "NeurIPS 2022; E. Perez, F. Strub, H. de Vries, V. Dumoulin, A. Courville: FiLM: Visual reasoning with a general "
    "conditioning layer, AAAI 2018"
)
ZAKEN = (
    "E. Ben Zaken, S. Ravfogel, Y. Goldberg: BitFit: Simple parameter-efficient fine-tuning for transformer-based "
    "masked language-models, ACL 2022"
)
STREZOSKI = "G. Strezoski, N. van Noord, M. Worring: Many task learning with task routing, ICCV 2019"
LI = "W.-H. Li, X. Liu, H. Bilen: Cross-domain few-shot learning with task-specific adapters, CVPR 2022"


def adapters() -> list[Adapter]:
    """All adapters of this module."""
    return [
        Adapter(
            name="bn-only",
            attach=bn_only,
            summary="separate batch norms for each domain on frozen convolutions",
            citation=f"{BILEN}; {CHANG}",
        ),
        Adapter(
            name="series",
            attach=series,
            summary="a 1x1 convolution for each domain after every larger one, with its own norm",
            citation=REBUFFI_2017,
        ),
        Adapter(
            name="parallel",
            attach=parallel,
            summary="a 1x1 convolution for each domain parallel to every larger one",
            citation=REBUFFI_2018,
        ),
        Adapter(
            name="piggyback",
            attach=piggyback,
            settings=MaskSettings,
            summary="a binary mask for each domain over the shared weights",
            citation=MALLYA,
        ),
        Adapter(
            name="affine-mask",
            attach=affine_mask,
            settings=MaskSettings,
            summary="weights for each domain as an affine function of the shared ones and a binary mask",
            citation=MANCINI,
        ),
        Adapter(
            name="taps",
            attach=taps,
            settings=TapsSettings,
            regularizer=taps_penalty,
            summary="a weight difference for each domain in the layers that it selects by a score",
            citation=WALLINGFORD,
        ),
        Adapter(
            name="lora-conv",
            attach=lora_conv,
            settings=LoraConvSettings,
            summary="a low-rank weight difference for each domain in every convolution",
            citation=f"{HU}; the form for convolutions is that of the peft library",
        ),
        Adapter(
            name="lora",
            attach=lora,
            settings=LoraSettings,
            summary="a low-rank weight difference for each domain in every linear layer, for transformers",
            citation=HU,
        ),
        Adapter(
            name="ssf",
            attach=ssf,
            settings=SsfSettings,
            summary="a scale and bias for each domain after every layer and norm",
            citation=LIAN,
        ),
        Adapter(
            name="bitfit",
            attach=bitfit,
            summary="biases for each domain; everything else is frozen",
            citation=ZAKEN,
        ),
        Adapter(
            name="domain-ln",
            attach=domain_ln,
            summary="separate layer norms for each domain, for transformers",
            citation=f"{BILEN}, with the LayerNorms of a transformer for the batch norms",
        ),
        Adapter(
            name="task-routing",
            attach=task_routing,
            settings=RoutingSettings,
            summary="a fixed random mask of channels for each domain",
            citation=STREZOSKI,
        ),
        Adapter(
            name="tsa",
            attach=tsa,
            settings=TsaSettings,
            summary="a 1x1 convolution for each domain parallel to every larger one, and an alignment before the head",
            citation=LI,
        ),
        Adapter(
            name="feature",
            attach=feature,
            summary="baseline: a frozen trunk; only heads are trained",
            citation=REBUFFI_2017,
        ),
        Adapter(
            name="finetune",
            attach=finetune,
            summary="baseline: each domain trains a copy of the whole trunk",
            citation=REBUFFI_2017,
        ),
    ]


def bn_only(surgeon: Surgeon, settings: None) -> None:
    """y = g_d BN_d(W * x) + b_d, with W frozen at its initial value. 2C per norm.

    On a trunk that the recipe freezes anyway, this is domain-bn. Raises UdbenchError for a network without batch norms.
    """
    for path in surgeon.batch_norms():
        surgeon.per_domain(path)
    surgeon.freeze()


def series(surgeon: Surgeon, settings: None) -> None:
    """y = BN_2(z + a BN_1(z)) with z = W * x, after each 2-d convolution larger than 1x1. C^2 + 2C per convolution.

    a is a 1x1 convolution from C to C channels, initially 0, with the convolution's groups. Each domain has its own
    BN_1, a, and batch norms of the network. BN_2 is the network's norm after the convolution. In pre-activation
    networks, where a sum comes first, it keeps its place, so that a = 0 is the unchanged network.
    """
    from udbench_adapters import residual

    residual.series(surgeon)


def parallel(surgeon: Surgeon, settings: None) -> None:
    """y = BN(W * x + a * x) for each 2-d convolution larger than 1x1.

    a is a 1x1 convolution with the convolution's stride and groups, initially 0. Each domain has its own a and batch
    norms. C C' for C inputs and C' outputs, a ninth of a 3x3 convolution.
    """
    from udbench_adapters import residual

    residual.parallel(surgeon)


def piggyback(surgeon: Surgeon, settings: object) -> None:
    """w = W 1[m > 5e-3] with real scores m, initially 1e-2, for each convolution and linear layer. 1 bit per weight.

    The gradient passes the threshold unchanged (straight-through estimator). Scores have no weight decay.
    """
    from udbench_adapters import masks

    masks.piggyback(surgeon, settings)


def affine_mask(surgeon: Surgeon, settings: object) -> None:
    """w = k0 W + k1 1 + k2 M + k3 (W M), M = 1[m > 0], for each convolution and linear layer.

    Initially k = (1, 0, 0, 0), and the scores m are drawn from U(1e-4, 2e-4); neither has weight decay. 1 bit per
    weight and 4 numbers per layer. Straight-through as in piggyback, which is k = (0, 0, 0, 1).
    """
    from udbench_adapters import masks

    masks.affine_mask(surgeon, settings)


def taps(surgeon: Surgeon, settings: object) -> None:
    """w = W + 1[s > 0.1] delta for each convolution and linear layer, initially s = 0.15 and delta = 0.

    `strength` times the mean of |s| over a domain's layers is added to its loss. A layer costs its weight's size where
    s > 0.1, and a bit elsewhere. s is trained straight-through, without weight decay.
    """
    from udbench_adapters import masks

    masks.taps(surgeon, settings)


def taps_penalty(trunk: nn.Module, domain: str, settings: object) -> Tensor:
    """strength (1 / L) sum |s_l| over the L layers of a domain."""
    from udbench_adapters import masks

    return masks.taps_penalty(trunk, domain, settings)


def lora_conv(surgeon: Surgeon, settings: object) -> None:
    """y = W * x + s B * (A * x) for each 2-d convolution, which is W + s B A, s = alpha / r.

    A has r x C x k x k numbers and the convolution's geometry. B has C' x r x 1 x 1 and is initially 0. r (C k^2 + C')
    per convolution. Raises UdbenchError for r above the rank of a layer's weight, and for convolutions in groups.
    """
    from udbench_adapters import lowrank

    lowrank.lora_conv(surgeon, settings)


def lora(surgeon: Surgeon, settings: object) -> None:
    """y = W x + s B (A x) for each linear layer, s = alpha / r. r (inputs + outputs) per layer; B is initially 0.

    Raises UdbenchError for r above the rank of a layer's weight, and for attention that uses the weights of its layers
    without calling them.
    """
    from udbench_adapters import lowrank

    lowrank.lora(surgeon, settings)


def ssf(surgeon: Surgeon, settings: object) -> None:
    """y' = g_d y + b_d after each convolution, linear layer and norm, before an activation. 2C per layer.

    Initially g = 1 and b = 0; the authors' code draws values close to these. FiLM conditioned on the domain is the
    same. Norms share their scale. Batch norms have running statistics of each domain unless `norms` says otherwise.
    """
    from udbench_adapters import behind

    behind.ssf(surgeon, settings)


def bitfit(surgeon: Surgeon, settings: None) -> None:
    """y = W x + b_d: each domain has its own biases of the network's layers and norms. C per layer.

    The rest of the trunk is frozen at its initial value. Batch norms have running statistics of each domain.
    """
    from udbench_adapters import behind

    behind.bitfit(surgeon)


def domain_ln(surgeon: Surgeon, settings: None) -> None:
    """LN_d(x) = g_d (x - m(x)) / sqrt(v(x) + eps) + b_d, with m and v of each token. 2C per norm.

    Raises UdbenchError for a network without LayerNorms.
    """
    from torch import nn

    from udbench_adapters.places import layers

    for path in layers(surgeon, "domain-ln", nn.LayerNorm):
        surgeon.per_domain(path)


def task_routing(surgeon: Surgeon, settings: object) -> None:
    """y' = m_d y after each batch norm, before an activation, or after each convolution of a network without norms.

    m_d is 0 for the fraction `dropped` of the channels, drawn once from the seed, the layer and the domain. 1 bit per
    channel. The masks are not trained, so with a frozen trunk only heads (and norms) are; the paper trains jointly.
    """
    from udbench_adapters import behind

    behind.task_routing(surgeon, settings)


def tsa(surgeon: Surgeon, settings: object) -> None:
    """y = W * x + a * x for each 2-d convolution larger than 1x1, initially a = 1e-4 I; and B before the head.

    B is a linear map of the trunk's output channels, initially I. On maps it is equivalent to a linear map of their
    average. C C' per convolution, and C^2 for B.
    """
    from udbench_adapters import residual

    residual.tsa(surgeon, settings)


def feature(surgeon: Surgeon, settings: None) -> None:
    """y = W * x, with W and all running statistics frozen at their initial values. Only heads are trained."""
    surgeon.freeze()


def finetune(surgeon: Surgeon, settings: None) -> None:
    """y = W_d * x: a trunk for each domain, with the same initial values. Trains the same as `--sharing none`."""
    for stage in surgeon.stages:
        for path in stage.modules:
            surgeon.per_domain(path)
