"""timm's networks: those that timm made for tests, of a few hundred thousand parameters, and one of each kind."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import BatchNormAct2d
from torch import nn

from udbench import Adapter, Architecture, Input, Network, SettingError, Surgeon, UdbenchError
from udbench.export.extract import single
from udbench.overrides import validated
from udbench.plugin.loader import load
from udbench.testing.conformance.networks import own_norms
from udbench.testing.conformance.toy_training import compare_groupings, made
from udbench.train.counted_dropout import CountedDropout
from udbench.train.model import build_model
from udbench.train.route import Slice
from udbench.train.surgery import check_stages
from udbench_architectures.timm_stages import Elsewhere

NOTHING = Adapter(name="nothing", attach=lambda surgeon, settings: None)
SMALL = ["test_resnet", "test_efficientnet", "test_convnext", "test_byobnet", "test_nfnet", "test_mambaout"]
SMALL += ["test_vit", "test_vit4"]
KINDS = {
    "resnetv2_18": 64,
    "mobilenetv3_small_050": 64,
    "regnetx_002": 64,
    "repvgg_a0": 64,
    "densenet121": 32,
    "hrnet_w18_small": 64,
    "ghostnet_100": 64,
    "levit_128s": 64,
    "pvt_v2_b0": 64,
    "coat_tiny": 64,
    "xcit_nano_12_p16_224": 64,
    "cait_xxs24_224": 64,
    "deit_tiny_distilled_patch16_224": 32,
    "vit_tiny_patch16_224": 32,
    "swin_tiny_patch4_window7_224": 32,
    "mixer_s32_224": 64,
    "gmlp_ti16_224": 32,
}


def architecture(name: str) -> Architecture:
    return load().get(Architecture, f"timm/{name}")


def inputs(*sizes: int) -> dict[str, Input]:
    return {f"d{i}": Input(height=size, width=size, channels=3, num_classes=3 + i) for i, size in enumerate(sizes)}


def built(name: str, *sizes: int, **settings: Any) -> Network:
    arch = architecture(name)
    assert arch.settings is not None
    network = arch.build(inputs(*(sizes or (32,))), validated(arch.settings, settings, f"architecture '{arch.name}'"))
    if network.init_weights is not None:
        network.init_weights()
    return network


def own_layer_norms() -> Adapter:
    def attach(surgeon: Surgeon, settings: object) -> None:
        for path in surgeon.find(nn.LayerNorm):
            surgeon.per_domain(path)

    return Adapter(name="own-layer-norms", attach=attach)


@pytest.mark.parametrize("name", SMALL)
def test_domains_together_and_one_by_one_give_the_same_gradients(name: str) -> None:
    compare_groupings(architecture(name), own_norms(), made(("reds", "blues"), 32, images=12))


@pytest.mark.parametrize("name", ["test_vit", "test_vit4", "test_convnext"])
def test_layer_norms_of_each_domain_keep_that_law(name: str) -> None:
    compare_groupings(architecture(name), own_layer_norms(), made(("reds", "blues"), 32, images=12))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # what old networks of timm's say is not ours to mend
def test_a_network_of_each_kind_keeps_that_law_in_stages_whole_and_private(name: str) -> None:
    arch, size = architecture(name), KINDS[name]
    compare_groupings(arch, own_norms(), made(("reds", "blues"), size, images=6))
    network = built(name, size)
    check_stages(network.trunk, network.stages, name)
    assert arch.settings is not None
    model = build_model(arch, NOTHING, inputs(size, size), arch_settings=arch.settings(), sharing="none")
    assert not model.shared()


@pytest.mark.parametrize("name", SMALL)
def test_its_vectors_are_those_of_timm_and_the_head_is_linear(name: str) -> None:
    torch.manual_seed(0)
    network = built(name)
    torch.manual_seed(0)
    options = {"img_size": 32} if "vit" in name else {}
    plain = timm.create_model(name, num_classes=0, **options).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        vectors = network.trunk.eval()(x)
        torch.testing.assert_close(vectors, plain(x))
        head = network.head(next(iter(inputs(32).values())), tuple(vectors.shape[1:]))
        assert head.eval()(vectors).shape == (2, 3)
    assert [type(m) for m in head.children()] == [nn.Dropout, nn.Linear]


def test_stages_are_timms_with_the_stem_in_the_first_and_the_last_norm_in_the_last() -> None:
    assert [stage.modules for stage in built("test_resnet").stages] == [
        ("conv1", "bn1", "layer1"),
        ("layer2",),
        ("layer3",),
        ("layer4",),
    ]
    first, *_, last = built("test_efficientnet").stages
    assert first.modules == ("conv_stem", "bn1", "blocks.0") and last.modules == ("blocks.4", "conv_head", "bn2")
    vit = built("test_vit").stages
    assert len(vit) == 6 and vit[0].modules == ("net",) and vit[5].modules == ("blocks.5", "norm")


def test_norms_and_linear_layers_of_a_transformer_are_found_in_the_order_of_a_forward() -> None:
    arch, found = architecture("test_vit"), list[str]()

    def attach(surgeon: Surgeon, settings: object) -> None:
        found.extend(surgeon.find(nn.LayerNorm, nn.Linear))

    assert arch.settings is not None
    build_model(arch, Adapter(name="finds", attach=attach), inputs(32), arch_settings=arch.settings())
    assert found[:3] == ["net.blocks.0.norm1", "net.blocks.0.attn.qkv", "net.blocks.0.attn.proj"]
    assert "blocks.5.mlp.fc2" in found and found[-1] == "norm"
    assert sum("norm" in path for path in found) == 2 * 6 + 1 and len(found) == 6 * 6 + 1


def test_a_network_with_a_class_token_can_be_private_in_part() -> None:
    """The network holds its token itself, so parts of other stages lie beside it; copies of it call the shared ones."""
    arch, given = architecture("test_vit"), inputs(32, 32)
    assert arch.settings is not None
    for sharing, private in (("partial:2-6", {"net"}), ("partial:1-5", {"blocks.5", "norm"}), ("none", None)):
        model = build_model(arch, NOTHING, given, arch_settings=arch.settings(), sharing=sharing, seed=1).double()
        owned = {name for name, _ in model.trunk.named_parameters() if ".own." in name}
        if private is None:
            assert not model.shared()
        else:
            assert {name.partition(".own.")[0] for name in owned} == private
            assert all("cls_token" not in name or "net" in private for name in owned)
        x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
        copied = copy.deepcopy(model).eval()
        together = model.eval()(x, [Slice("d0", 2), Slice("d1", 2)])
        for i, name in enumerate(given):
            (alone,) = model(x[2 * i : 2 * i + 2], [Slice(name, 2)])
            torch.testing.assert_close(together[i], alone)
            (taken,) = [single(model, name, (0.0,) * 3, (1.0,) * 3)(x[2 * i : 2 * i + 2])]
            torch.testing.assert_close(taken, alone)
        torch.nn.init.zeros_(
            model.trunk.get_parameter(next(n for n, _ in model.trunk.named_parameters() if "fc2" in n))
        )
        torch.testing.assert_close(copied(x[:2], [Slice("d0", 2)])[0], together[0])  # a copy has parts of its own
        assert not torch.allclose(model(x[:2], [Slice("d0", 2)])[0], together[0])
        homes = {id(m.home) for m in copied.modules() if isinstance(m, Elsewhere)}
        assert homes == {id(copied.trunk)}


def test_fused_activations_are_kept() -> None:
    arch = architecture("test_efficientnet")
    assert arch.settings is not None
    model = build_model(arch, own_norms(), inputs(32, 32), arch_settings=arch.settings())
    assert [m for m in model.modules() if isinstance(m, BatchNormAct2d) and isinstance(m.act, nn.SiLU)]


def test_stochastic_depth_and_dropout_are_counted_and_off_unless_asked_for() -> None:
    arch = architecture("test_vit")
    assert arch.settings is not None
    rates = {}
    for settings in ({}, {"drop_rate": 0.3, "drop_path_rate": 0.2}):
        model = build_model(arch, NOTHING, inputs(32), arch_settings=arch.settings(**settings))
        layers = [m for m in model.modules() if isinstance(m, CountedDropout) and m.p]
        rates[len(settings)] = {
            keeps: max(m.p for m in layers if m.keeps == keeps) for keeps in {m.keeps for m in layers}
        }
    assert rates == {0: {}, 2: {"element": 0.3, "image": pytest.approx(0.2)}}


def test_images_of_two_sizes_share_a_trunk_where_the_network_can() -> None:
    for name in ("test_resnet", "test_vit"):
        network = built(name, 32, 48)
        assert network.trunk.eval()(torch.zeros(1, 3, 48, 48)).shape == network.trunk(torch.zeros(1, 3, 32, 32)).shape


@pytest.mark.parametrize(
    ("name", "sizes", "settings", "said"),
    [
        ("test_vit", (8,), {}, r"'timm/test_vit' .* images of 8x8.*built for 160x160: .*--set image_size=160"),
        ("mixer_s32_224", (32, 64), {}, r"'timm/mixer_s32_224' cannot be built for images of 32x32, 64x64"),
        ("test_resnet", (32,), {"drop_path": 0.1}, r"no setting 'drop_path'. Did you mean 'drop_path_rate'"),
        ("dla46_c", (32,), {"drop_path_rate": 0.1}, r"timm's 'dla46_c' has no stochastic depth"),
        ("test_resnet", (32,), {"pretrained": True, "weights": "x.pt"}, "leave one of the two out"),
        ("test_resnet", (32,), {"weights": "missing.safetensors"}, "weights = 'missing.safetensors': there is no such"),
        ("test_resnet", (32,), {"weights": "x.npz"}, r"must end in one of .safetensors, .pt, .pth, .bin"),
        ("test_resnet", (32,), {"weights_sha256": "ab"}, "belongs to the file of `weights`, which is not set"),
        (
            "resnet26t",
            (32,),
            {"pretrained": True},
            r"cannot be downloaded here .*model.safetensors of https.*weights=FILE",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(
    name: str, sizes: tuple[int, ...], settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UdbenchError) as caught:
        built(name, *sizes, **settings)
    assert re.search(said, str(caught.value)), caught.value


def test_a_network_without_pretrained_weights_says_so() -> None:
    name = next(each for each in timm.list_models() if not timm.is_model_pretrained(each))
    with pytest.raises(SettingError, match=f"timm has no pretrained weights for '{name}'"):
        built(name, 224, pretrained=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_it_begins_with_the_weights_of_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    plain, path = timm.create_model(name), tmp_path / f"w{suffix}"
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    if suffix == ".pth":
        torch.save({"state_dict": plain.state_dict(), "epoch": 3}, path)
    else:
        save_file(plain.state_dict(), path)
    network = built(name, weights=str(path))
    wanted = {key: value for key, value in plain.state_dict().items() if key not in ("fc.weight", "fc.bias")}
    found = {key.removeprefix("net."): value for key, value in network.trunk.state_dict().items()}
    same = [key for key in found if torch.equal(found[key], wanted[key])] if name == "test_resnet" else []
    assert name != "test_resnet" or same == list(found)
    if name == "test_vit":  # 16x16 positions of 160 pixels become 2x2 of 32
        assert torch.equal(found["cls_token"], wanted["cls_token"]) and found["pos_embed"].shape[1] == 1 + 2 * 2
    assert all("state_dict" not in vars(m).get("pretrained_cfg", {}) for m in network.trunk.modules())


def test_the_weights_file_is_part_of_what_is_recorded(tmp_path: Path) -> None:
    path, arch = tmp_path / "w.safetensors", architecture("test_resnet")
    save_file(timm.create_model("test_resnet").state_dict(), path)
    assert arch.settings is not None
    recorded = arch.settings(weights=str(path)).model_dump(mode="json")
    assert recorded["weights"] == str(path) and len(recorded["weights_sha256"]) == 64
    assert arch.settings(**recorded).model_dump(mode="json") == recorded
    path.rename(tmp_path / "gone.safetensors")
    again = validated(arch.settings, recorded, "it")
    assert arch.build(inputs(32), again).init_weights is not None, "a trained network is built without the file"
    (tmp_path / "gone.safetensors").rename(path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(SettingError, match=r"w.safetensors is another file: its sha256 is"):
        validated(arch.settings, recorded, "it")


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("it-went-off"),)


def test_a_pickle_that_holds_more_than_tensors_is_refused_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": timm.create_model("test_resnet").state_dict(), "args": Bomb()}, "w.pth")
    with pytest.raises(SettingError, match=r"arch.weights=w.pth: it is a pickle with more than tensors.*state_dict"):
        built("test_resnet", weights="w.pth")
    assert not Path("it-went-off").exists()


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_file_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=r"w\.(pt|safetensors): it (cannot be read as tensors|is a pickle)"):
        built("test_resnet", weights=str(path))


@pytest.mark.parametrize(
    ("arch", "of", "said"),
    [
        ("test_resnet", "test_vit", r"\d+ missing \('conv1.0.weight' first\), \d+ unknown to it \('"),
        ("test_vit", "test_resnet", r"\d+ missing \('cls_token' first\), \d+ unknown to it .*'"),
        ("resnet18", "resnet34", r"^\S+ these .*'timm/resnet18': 96 unknown to it .*classifier \(fc.bias, fc.weight\)"),
        ("vit_tiny_patch16_224", "test_vit", r"of another shape \('cls_token' first: \(1, 1, 64\) where"),
    ],
)
def test_weights_of_another_network_are_told_by_their_keys(arch: str, of: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model(of).state_dict(), path)
    with pytest.raises(SettingError) as caught:
        built(arch, weights=str(path))
    assert re.search(said, str(caught.value)), caught.value
    assert "give a file of that network" in str(caught.value)


def test_members_are_all_that_timm_has_by_name_and_by_weights() -> None:
    names = [item.name for item in load().items("archs", "timm/resnet18*")]
    assert {"timm/resnet18", "timm/resnet18.a1_in1k", "timm/resnet18d"} <= set(names)
    assert len(load().items("archs", "timm/")) == len({*timm.list_models(), *timm.list_models(pretrained=True)})
