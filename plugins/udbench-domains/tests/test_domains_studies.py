"""The paper's tables: what it printed, and the studies that run them again."""

from __future__ import annotations

import pytest

import udbench_domains
from udbench.config import RecipeSettings
from udbench.overrides import merged, validated
from udbench.plugin.loader import load
from udbench.plugin.published import Published, PublishedTable, read_published
from udbench.plugin.registry import Registry
from udbench.studies.grid import expand

TEN = ["awa", "caltech256", "cifar10", "daimler", "gtsrb", "mnist", "omniglot", "plankton", "sketches", "svhn"]

TABLE_3 = """
none        77.9 85.1  9.4 10.4 4.2 0.34 13   25.7 31.1 3.7 26.1
deep        73.7 82.6 11.7  5.2 3.5 0.38 13.1 24.9 30.8 4.1 25.0
partial-1-3 76.6 84.0 12.4  7.0 4.0 0.29 13.8 26.2 33.1 4.4 26.2
partial-2-4 76.6 84.0  9.9  7.7 3.3 0.49 12.1 25.3 30.7 3.5 25.3
deep-x2     74.0 81.7  9.1  4.2 4.1 0.43 12.3 25.8 29.1 3.5 24.4
deep-x4     73.1 81.5  7.2  4.1 3.5 0.35 11.8 25   27.6 3.5 23.8
"""

TABLE_4 = {
    "bn-universal-universal": None, "bn-plus": 46.3, "bn-universal-domain": 27.3, "bn-domain-domain": 25,
    "in-universal": 30.2, "in-domain": 30.4,
}  # fmt: skip

DECATHLON = [
    "vd-imagenet12",
    "vd-aircraft",
    "vd-cifar100",
    "vd-daimlerpedcls",
    "vd-dtd",
    "vd-gtsrb",
    "vd-vgg-flowers",
    "vd-omniglot",
    "vd-svhn",
    "vd-ucf101",
]

# key, parameters, accuracies in the order above, their mean, score
ACCURACIES = """
feature      1    59.67 23.31 63.11 80.33 45.37 68.16 73.69 58.79 43.54 26.80 54.28  544
scratch      10   59.87 57.10 75.73 91.20 37.77 96.55 56.30 88.74 96.63 43.27 70.32 1625
finetune     10   59.87 60.34 82.12 92.82 55.53 97.53 81.41 87.69 96.55 51.20 76.51 2500
series       2    59.67 56.68 81.20 93.88 50.85 97.05 66.24 89.62 96.13 47.45 73.88 2118
dan          2.17 57.74 64.12 80.07 91.30 56.54 98.46 86.05 89.67 96.77 49.38 77.01 2851
piggyback    1.28 57.69 65.29 79.87 96.99 57.45 97.27 79.09 87.63 97.24 47.48 76.60 2838
mtan         1.74 63.90 61.81 81.59 91.63 56.44 98.80 81.04 89.83 96.88 50.63 77.25 2941
parallel     2    60.32 64.21 81.91 94.73 58.83 99.38 84.68 89.21 96.54 50.94 78.07 3412
parallel-svd 1.5  60.32 66.04 81.86 94.23 57.82 99.24 85.74 89.25 96.62 52.50 78.36 3398
url          1    61.45 74.35 80.45 97.55 59.57 98.24 86.73 89.72 96.95 49.01 79.40 3626
url-parallel 2    61.97 77.17 82.31 97.58 60.69 98.75 87.28 90.40 97.14 51.89 80.52 4005
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load()


@pytest.fixture(scope="module")
def published() -> dict[str, Published]:
    return {path.stem: read_published(path) for path in udbench_domains.udbench_published()}


@pytest.fixture(scope="module")
def paper(published: dict[str, Published]) -> dict[str, PublishedTable]:
    return {table.name: table for table in published["bilen2017"].tables}


def errors(table: PublishedTable) -> dict[str, list[float | None]]:
    return {row.key: [row.errors.get(name) for name in table.domains] for row in table.rows}


def test_table_2_is_the_papers(paper: dict[str, PublishedTable]) -> None:
    assert paper["table2"].domains == ("cifar10", "mnist", "svhn")
    assert errors(paper["table2"]) == {"none": [9.4, 0.34, 3.7], "deep": [10.2, 0.37, 3.7], "full": [10.2, 0.38, 3.7]}


def test_table_3_is_the_papers(paper: dict[str, PublishedTable]) -> None:
    assert list(paper["table3"].domains) == TEN
    rows = {row.key: row for row in paper["table3"].rows}
    lines = [line.split() for line in TABLE_3.split("\n") if line]
    assert list(rows) == [line[0] for line in lines]
    for key, *figures, mean in lines:
        assert [rows[key].errors[name] for name in TEN] == [float(figure) for figure in figures], key
        assert rows[key].mean_error == float(mean)
        assert sum(rows[key].errors.values()) / 10 == pytest.approx(float(mean), abs=0.1), "a figure mistyped?"
    assert "swapped" in rows["partial-1-3"].note and "swapped" in rows["partial-2-4"].note


def test_table_4_is_the_papers(paper: dict[str, PublishedTable]) -> None:
    rows = {row.key: row for row in paper["table4"].rows}
    assert {key: row.mean_error for key, row in rows.items()} == TABLE_4
    assert "comparable to random chance" in rows["bn-universal-universal"].note
    assert [row.comparable for row in rows.values()].count("no") == 2


def test_table_5_is_the_papers(paper: dict[str, PublishedTable]) -> None:
    assert paper["table5-alexnet"].domains == ("imagenet", "vggface")
    assert errors(paper["table5-alexnet"]) == {"alexnet-none": [40.5, 25.7], "alexnet-deep": [41.8, 26.3]}
    assert paper["table5"].domains == ("imagenet", "vggface", "synth90k")
    assert errors(paper["table5"]) == {
        "vgg-none": [40.8, 25.7, 12.1], "vgg-none-third": [49.2, 57.1, 39.0], "vgg-deep": [43.0, 27.8, 26.8]
    }  # fmt: skip
    assert "26.9" in next(row.note for row in paper["table5"].rows if row.key == "vgg-deep")


def test_the_paper_is_cited_and_none_of_it_is_said_to_be_comparable_exactly(
    published: dict[str, Published], paper: dict[str, PublishedTable]
) -> None:
    assert "arXiv:1701.07275" in published["bilen2017"].citation
    assert {row.comparable for table in paper.values() for row in table.rows} == {"approximate", "no"}


def test_the_decathlon_is_what_was_published(published: dict[str, Published]) -> None:
    table = published["decathlon"].table("test")
    assert table is not None and table.suite == "visual-decathlon" and list(table.domains) == DECATHLON
    lines = [line.split() for line in ACCURACIES.split("\n") if line]
    assert [row.key for row in table.rows] == [line[0] for line in lines]
    for row, (_, parameters, *accuracies, mean, score) in zip(table.rows, lines, strict=True):
        assert list(row.errors) == DECATHLON
        assert list(row.errors.values()) == [pytest.approx(100 - float(accuracy)) for accuracy in accuracies], row.key
        assert row.mean_error == pytest.approx(100 - float(mean))
        assert (row.parameters, row.score, row.comparable) == (float(parameters), float(score), "approximate")


def test_the_decathlons_scores_follow_from_its_errors(published: dict[str, Published]) -> None:
    table = published["decathlon"].table("test")
    assert table is not None
    most = {name: 2 * error for name, error in next(r for r in table.rows if r.key == "finetune").errors.items()}
    for row in table.rows:
        score = sum(1000 * max(0, 1 - error / most[name]) ** 2 for name, error in row.errors.items())
        assert row.score == pytest.approx(score, abs=3), row.key


def test_published_rows_name_what_is_installed_or_nothing(registry: Registry, published: dict[str, Published]) -> None:
    for table in (table for whole in published.values() for table in whole.tables):
        for row in table.rows:
            assert not row.adapter or row.adapter in registry.names("adapters")
            assert not row.arch or row.arch in registry.names("archs")
            assert set(table.domains) <= set(registry.names("domains"))
            assert table.suite == "visual-decathlon" or (row.adapter and row.arch)


STUDIES = [(item.owner.name, item.name) for item in load().items("studies")]


def test_the_papers_studies_and_pockets_are_there() -> None:
    named = {name for _, name in STUDIES}
    assert named >= {
        "paper-table2", "paper-table3", "paper-table4", "paper-table5", "paper-table5-alexnet", "pocket-all"
    }  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), STUDIES, ids=[name for _, name in STUDIES])
def test_a_study_names_only_what_is_installed_and_rows_that_were_published(
    registry: Registry, published: dict[str, Published], owner: str, name: str
) -> None:
    plan = expand(name, registry.item("studies", name).value.grid)
    for row in plan.rows:
        assert row.suite or row.domains
        suite = row.suite and registry.item("suites", row.suite).value
        assert set(row.domains or suite.domains) <= set(registry.names("domains"))
        assert row.adapter in registry.names("adapters") and row.arch in registry.names("archs")
        recipe = registry.item("recipes", row.recipe or suite.recipe).value
        changed = {key: value for key, value in row.settings.items() if key not in ("adapter", "arch")}
        validated(RecipeSettings, merged(recipe.settings, changed), row.label)
        if row.sharing == "full":
            classes = {registry.item("domains", d).value.spec.num_classes for d in row.domains or suite.domains}
            assert len(classes) == 1
    if plan.published is None:
        assert owner != "domains"
        return
    file, table_name = plan.published
    table = published[file].table(table_name)
    assert table is not None
    theirs = {row.key: row for row in table.rows}
    assert {row.published for row in plan.rows} - {None} == set(theirs), "every published row is run again"
    for row in plan.rows:
        assert set(row.domains or registry.item("suites", row.suite or "").value.domains) == set(table.domains)
        if row.published:
            beside = theirs[row.published]
            assert (row.adapter, row.arch, row.sharing) == (beside.adapter, beside.arch, beside.sharing)


def test_bn_plus_is_run_in_both_orders_of_its_test_images(registry: Registry) -> None:
    rows = expand("paper-table4", registry.item("studies", "paper-table4").value.grid).rows
    orders = {row.settings.get("eval_order", "shuffled"): row.published for row in rows if row.adapter == "bn-plus"}
    assert orders == {"shuffled": "bn-plus", "class": None}


def test_pocket_all_is_every_normalisation_and_what_can_be_shared_with_three_seeds(registry: Registry) -> None:
    rows = expand("pocket-all", registry.item("studies", "pocket-all").value.grid).rows
    assert all(row.seeds == (0, 1, 2) and row.suite == "pocket" for row in rows)
    assert {row.adapter for row in rows if row.sharing == "deep"} >= {
        "universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in"
    }  # fmt: skip
    assert {row.sharing for row in rows if row.adapter == "domain-bn"} == {"deep", "none", "partial:1-3", "partial:2-4"}
