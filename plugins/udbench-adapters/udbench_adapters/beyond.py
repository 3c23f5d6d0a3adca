"""The methods that came after the paper, and the two baselines beside which they are measured.

Each function says its formula and what it costs a domain for a layer of C outputs. Unless it says otherwise the shared
weights are trained with all domains, and stay as they are where the recipe or `--train private` freezes the trunk.
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
    """All of them."""
    return [
        Adapter(
            name="bn-only",
            attach=bn_only,
            summary="each domain's own batch norms on convolutions that nobody trains",
            citation=f"{BILEN}; {CHANG}",
        ),
        Adapter(
            name="series",
            attach=series,
            summary="a 1x1 convolution of each domain behind every larger one, with a norm of its own",
            citation=REBUFFI_2017,
        ),
        Adapter(
            name="parallel",
            attach=parallel,
            summary="a 1x1 convolution of each domain beside every larger one",
            citation=REBUFFI_2018,
        ),
        Adapter(
            name="piggyback",
            attach=piggyback,
            settings=MaskSettings,
            summary="each domain uses the shared weights that its binary mask lets through",
            citation=MALLYA,
        ),
        Adapter(
            name="affine-mask",
            attach=affine_mask,
            settings=MaskSettings,
            summary="each domain's weights are an affine function of the shared ones and a binary mask",
            citation=MANCINI,
        ),
        Adapter(
            name="taps",
            attach=taps,
            settings=TapsSettings,
            regularizer=taps_penalty,
            summary="each domain adds a difference to the weights of the layers that it scores high",
            citation=WALLINGFORD,
        ),
        Adapter(
            name="lora-conv",
            attach=lora_conv,
            settings=LoraConvSettings,
            summary="a low-rank difference of each domain for every convolution",
            citation=f"{HU}; the form for convolutions is that of the peft library",
        ),
        Adapter(
            name="lora",
            attach=lora,
            settings=LoraSettings,
            summary="a low-rank difference of each domain for every linear layer, for transformers",
            citation=HU,
        ),
        Adapter(
            name="ssf",
            attach=ssf,
            settings=SsfSettings,
            summary="each domain's own scale and bias behind every layer and norm",
            citation=LIAN,
        ),
        Adapter(
            name="bitfit",
            attach=bitfit,
            summary="each domain's own biases, and nothing else trained",
            citation=ZAKEN,
        ),
        Adapter(
            name="domain-ln",
            attach=domain_ln,
            summary="each domain's own layer norms, for transformers",
            citation=f"{BILEN}, with the LayerNorms of a transformer for the batch norms",
        ),
        Adapter(
            name="task-routing",
            attach=task_routing,
            settings=RoutingSettings,
            summary="each domain goes without a random part of the channels, fixed from the start",
            citation=STREZOSKI,
        ),
        Adapter(
            name="tsa",
            attach=tsa,
            settings=TsaSettings,
            summary="a 1x1 convolution of each domain beside every larger one, and an alignment before the head",
            citation=LI,
        ),
        Adapter(
            name="feature",
            attach=feature,
            summary="baseline: nothing of the trunk is trained, heads only",
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
    """y = g_d BN_d(W * x) + b_d, with W frozen wherever it begins: freezing is the method. 2C a norm.

    On a trunk that the recipe freezes anyway, this is domain-bn. Raises UdbenchError for a network without batch norms.
    """
    for path in surgeon.batch_norms():
        surgeon.per_domain(path)
    surgeon.freeze()


def series(surgeon: Surgeon, settings: None) -> None:
    """y = BN_2(z + a BN_1(z)) with z = W * x, behind each 2-d convolution larger than 1x1. C^2 + 2C a convolution.

    a is a 1x1 from C to C channels, 0 at first, in as many groups as the convolution has; BN_1 and a are the domain's
    own, and so are the network's batch norms. BN_2 is the one that the network has behind the convolution. In
    pre-activation networks, where a sum comes first, it stays where it is, so that a = 0 is the network itself.
    """
    from udbench_adapters import residual

    residual.series(surgeon)


def parallel(surgeon: Surgeon, settings: None) -> None:
    """y = BN(W * x + a * x), beside each 2-d convolution larger than 1x1: the centre of a window of the domain's own.

    a is a 1x1 of the convolution's stride and groups, 0 at first; the network's batch norms are the domain's own. A
    ninth of a 3x3 convolution, C C' for C inputs and C' outputs.
    """
    from udbench_adapters import residual

    residual.parallel(surgeon)


def piggyback(surgeon: Surgeon, settings: object) -> None:
    """w = W 1[m > 5e-3] with real scores m, 1e-2 at first, for each convolution and linear layer. 1 bit a weight.

    The gradient passes the threshold as if it were not there (straight through). Scores do not decay.
    """
    from udbench_adapters import masks

    masks.piggyback(surgeon, settings)


def affine_mask(surgeon: Surgeon, settings: object) -> None:
    """w = k0 W + k1 1 + k2 M + k3 (W M), M = 1[m > 0], for each convolution and linear layer.

    k = (1, 0, 0, 0) at first and the scores m come from U(1e-4, 2e-4); neither decays. 1 bit a weight and 4 numbers a
    layer. Straight through as in piggyback, which is k = (0, 0, 0, 1).
    """
    from udbench_adapters import masks

    masks.affine_mask(surgeon, settings)


def taps(surgeon: Surgeon, settings: object) -> None:
    """w = W + 1[s > 0.1] delta for each convolution and linear layer, s = 0.15 and delta = 0 at first.

    The loss of a domain has `strength` times the mean of |s| over its layers besides. A layer costs its weight's size
    where s > 0.1 and a bit elsewhere. s is trained straight through and does not decay.
    """
    from udbench_adapters import masks

    masks.taps(surgeon, settings)


def taps_penalty(trunk: nn.Module, domain: str, settings: object) -> Tensor:
    """strength (1 / L) sum |s_l| over the L layers of a domain."""
    from udbench_adapters import masks

    return masks.taps_penalty(trunk, domain, settings)


def lora_conv(surgeon: Surgeon, settings: object) -> None:
    """y = W * x + s B * (A * x) for each 2-d convolution, which is W + s B A, s = alpha / r.

    A has r x C x k x k numbers and the convolution's geometry, B has C' x r x 1 x 1 and is 0 at first: r (C k^2 + C') a
    convolution. Raises UdbenchError for r above the rank of a layer's weight, and for convolutions in groups.
    """
    from udbench_adapters import lowrank

    lowrank.lora_conv(surgeon, settings)


def lora(surgeon: Surgeon, settings: object) -> None:
    """y = W x + s B (A x) for each linear layer, s = alpha / r. r (inputs + outputs) a layer; B is 0 at first.

    Raises UdbenchError for r above the rank of a layer's weight, and for attention that uses its layers' weights only.
    """
    from udbench_adapters import lowrank

    lowrank.lora(surgeon, settings)


def ssf(surgeon: Surgeon, settings: object) -> None:
    """y' = g_d y + b_d behind each convolution, linear layer and norm, before an activation. 2C a layer.

    g = 1 and b = 0 at first, where the authors' code draws them close to that. FiLM with the domain for its condition
    is the same. Norms share their scale; batch norms keep each domain's moments unless `norms` says otherwise.
    """
    from udbench_adapters import behind

    behind.ssf(surgeon, settings)


def bitfit(surgeon: Surgeon, settings: None) -> None:
    """y = W x + b_d: the biases that the network's layers and norms have, each domain's own. C a layer.

    All else of the trunk is frozen wherever it begins: that is the method. Batch norms keep each domain's moments.
    """
    from udbench_adapters import behind

    behind.bitfit(surgeon)


def domain_ln(surgeon: Surgeon, settings: None) -> None:
    """LN_d(x) = g_d (x - m(x)) / sqrt(v(x) + eps) + b_d, with each token's own m and v. 2C a norm.

    Raises UdbenchError for a network without LayerNorms.
    """
    from torch import nn

    from udbench_adapters.places import layers

    for path in layers(surgeon, "domain-ln", nn.LayerNorm):
        surgeon.per_domain(path)


def task_routing(surgeon: Surgeon, settings: object) -> None:
    """y' = m_d y behind each batch norm, before an activation, or behind each convolution of a network without norms.

    m_d has a 0 for `dropped` of the channels, drawn once of the seed, the layer and the domain. 1 bit a channel. There
    is nothing to train in it: with a frozen trunk the heads (and norms) learn alone, so its paper trains jointly.
    """
    from udbench_adapters import behind

    behind.task_routing(surgeon, settings)


def tsa(surgeon: Surgeon, settings: object) -> None:
    """y = W * x + a * x beside each 2-d convolution larger than 1x1, a = 1e-4 I at first; B = I before the head.

    B is a linear map of the channels of what the trunk gives: of maps, where it is the same as a map of features that
    are their average, or of the features themselves. C C' a convolution and C^2 for B.
    """
    from udbench_adapters import residual

    residual.tsa(surgeon, settings)


def feature(surgeon: Surgeon, settings: None) -> None:
    """y = W * x with W and all moments frozen wherever they begin: freezing is the method. Nothing but heads."""
    surgeon.freeze()


def finetune(surgeon: Surgeon, settings: None) -> None:
    """y = W_d * x: all of the trunk for each domain, from the same beginning. Trains what `--sharing none` trains."""
    for stage in surgeon.stages:
        for path in stage.modules:
            surgeon.per_domain(path)
