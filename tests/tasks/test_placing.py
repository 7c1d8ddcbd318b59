"""Where a run places inputs, and what lies near what: by hand, by files, by the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from locution import runs
from locution.cli import run as command
from locution.data.digits import DigitsData
from locution.errors import UserError
from locution.models.convnet import ConvNet
from locution.models.linear import Line
from locution.models.mlp import MLP
from locution.models.recurrent import Recurrent
from locution.runs import Run
from locution.tasks.abilities import Embedding, abilities
from locution.tasks.embedding_files import metadata, on_a_map, write_embedding
from locution.tasks.nearest import nearest, side_by_side
from locution.tasks.placing import before_last, is_text, placed


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("digits") / "run"
    words = ("data.limit=300", "model.widths=[16]", "epochs=3", f"run_dir={folder}")
    return runs.train("digits", *words, quiet=True)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("manual") / "run"
    return runs.train("texts/manual", "epochs=2", f"run_dir={folder}", quiet=True)


def embedding(run: Run, *inputs: str, part: str = "test") -> Embedding:
    task: Any = run.task
    found: Embedding = task.embed(run.recipe, run.folder, list(inputs), part)
    return found


def test_features_are_what_goes_into_the_last_layer() -> None:
    torch.manual_seed(0)
    net, x = MLP([4, 6, 5, 3], dropout=0.5).train(), torch.randn(7, 4)
    found = before_last(net, x, batch_size=3)
    assert net.training  # as it was
    net.eval()
    assert torch.allclose(net.layers[-1](found), net(x), atol=1e-6)
    assert found.shape == (7, 5)
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("net", "x", "width"),
    [
        (ConvNet(1, (4, 6), 3), torch.rand(5, 1, 8, 8), 6),
        (Recurrent(2, 7, 1, kind="lstm"), torch.rand(5, 9, 2), 7),
        (Recurrent(2, 7, 1, reads="all"), torch.rand(5, 9, 2), 7),
    ],
)
def test_networks_of_every_kind_have_one_row_an_example(net: nn.Module, x: torch.Tensor, width: int) -> None:
    assert before_last(net, x).shape == (5, width)


def test_of_a_last_layer_that_is_called_at_each_step_the_mean_is_taken() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(self.first(x)) + self.last(3 * self.first(x))
            return found

    net, x = Steps(), torch.randn(5, 3)
    assert torch.allclose(before_last(net, x, batch_size=2), 2 * net.first(x), atol=1e-6)


def test_a_last_layer_that_is_not_called_is_said() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.first(x)
            return found

    with pytest.raises(UserError, match="layer 'last' came upon no row for each input"):
        before_last(Idle(), torch.zeros(2, 3))


def test_a_model_without_features_between_layers_says_so() -> None:
    with pytest.raises(UserError, match="not two layers of weights; allowed: two or more"):
        before_last(nn.Linear(3, 2), torch.zeros(1, 3))
    with pytest.raises(UserError, match="allowed: two or more"):
        before_last(Line(), torch.zeros(1, 1))


def test_a_run_places_a_whole_part_or_some_inputs_alike(digits: Run) -> None:
    whole, some = embedding(digits), embedding(digits, "test:3", ",".join(["0.5"] * 64))
    data = DigitsData().load(seed=0)
    assert data.test is not None
    assert whole.vectors.shape == (270, 16)
    assert list(whole.labels) == [str(int(one)) for one in data.test.targets]
    assert torch.allclose(some.vectors[0], whole.vectors[3], atol=1e-6)
    assert list(some.labels) == [whole.labels[3], ""]
    assert whole.names[:2] == ["test:0", "test:1"]
    assert whole.pictures is not None
    assert torch.equal(whole.pictures, data.test.inputs[:, 0])
    assert not embedding(digits, ",".join(["0.5"] * 64)).labels
    assert "embed" in abilities(digits.task)


def test_the_files_are_read_back_as_they_were(digits: Run, tmp_path: Path) -> None:
    found = embedding(digits)
    said = list(write_embedding(found, tmp_path, "pca"))
    assert said == [
        f"written: {tmp_path / name}" for name in ("embedding.npy", "embedding.tsv", "metadata.tsv", "embedding.svg")
    ]
    vectors = np.load(tmp_path / "embedding.npy")
    assert np.array_equal(vectors, found.vectors.numpy())
    assert np.array_equal(np.loadtxt(tmp_path / "embedding.tsv", dtype=np.float32, delimiter="\t"), vectors)
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines[0] == "name\tlabel"
    assert len(lines) == 271
    assert lines[4] == f"test:3\t{found.labels[3]}"
    drawn = (tmp_path / "embedding.svg").read_text()
    assert drawn.startswith("<svg xmlns=")
    assert drawn.count("<tspan") == 270


def test_a_map_shows_the_example_nearest_to_each_unit(digits: Run, tmp_path: Path) -> None:
    list(write_embedding(embedding(digits), tmp_path, "som"))
    drawn = (tmp_path / "embedding.svg").read_text()
    walls = re.findall(r'<rect [^>]*fill="#[0-9a-f]{6}"', drawn)
    assert len(walls) == 9 * 9  # 5 times the root of 270 units, nearly, each with its wall
    assert drawn.count("<image") == 2  # all units in one, and the scale of the walls
    with pytest.raises(UserError, match="a map of one example"):
        list(write_embedding(embedding(digits, "test:3"), tmp_path, "som"))


def test_the_picture_of_a_unit_is_that_of_the_example_nearest_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def kept(weights: Any, places: Any, shape: Any, **named: Any) -> str:
        seen.update(named, weights=weights)
        return "<svg></svg>"

    monkeypatch.setattr("locution.tasks.embedding_files.map_picture", kept)
    vectors = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0], [9.1, 9.0]])
    pictures = torch.arange(4.0).view(4, 1, 1).expand(4, 2, 2)
    on_a_map(Embedding(vectors, list("abcd"), ["x", "x", "y", "y"], pictures), vectors.numpy())
    units = torch.as_tensor(seen["weights"]).float().reshape(-1, 2)
    nearest_ones = torch.cdist(units, vectors).argmin(1)
    assert seen["tiles"].reshape(-1, 4)[:, 0].tolist() == nearest_ones.tolist()
    assert set(seen["words"]) >= {"x", "y"}


def test_a_tab_or_a_line_break_in_a_name_breaks_no_table() -> None:
    assert metadata(["a\tb\nc"], ["d"]) == "name\tlabel\na b c\td\n"


def test_an_embedding_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not finite; allowed: a run that has not diverged"):
        list(write_embedding(Embedding(torch.tensor([[1.0, torch.nan]]), ["a"]), tmp_path, "pca"))


def test_the_nearest_are_those_of_a_search_by_hand_and_never_oneself(digits: Run) -> None:
    among, asked = embedding(digits, part="train"), embedding(digits, "train:5", "test:1")
    away = torch.cdist(asked.vectors.double(), among.vectors.double())
    away[0, 5] = torch.inf
    for row, found in enumerate(nearest(asked, among, 4)):
        wanted = away[row].argsort()[:4].tolist()
        assert [one.row for one in found] == wanted
        assert [one.label for one in found] == [among.labels[place] for place in wanted]
        assert found[0].distance == pytest.approx(float(away[row, wanted[0]]))
    for by in ("hnsw", "ivf_pq"):
        assert [one.row for one in nearest(asked, among, 1, by)[1]] == [int(away[1].argmin())]
    drawn = side_by_side(asked, among, nearest(asked, among, 4))
    assert drawn is not None
    assert drawn.pictures.shape == (2, 5, 8, 8)
    assert among.pictures is not None
    assert np.array_equal(drawn.pictures[0, 0], among.pictures[5].numpy())
    assert np.array_equal(drawn.pictures[1, 1], among.pictures[int(away[1].argmin())].numpy())


def test_what_an_index_did_not_find_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = (np.array([[0.5, np.inf, np.inf]]), np.array([[1, -1, -1]]))
    monkeypatch.setattr("locution.tasks.nearest.NearestNeighbours.kneighbors", lambda self, X: missed)
    among = Embedding(torch.tensor([[0.0], [1.0], [5.0]]), ["a", "b", "c"])
    (found,) = nearest(Embedding(torch.tensor([[0.5]]), ["new"]), among, 2)
    assert [one.name for one in found] == ["b"]


def test_words_have_neighbours_and_texts_are_found_by_what_they_say(manual: Run) -> None:
    words = embedding(manual, part="words")
    layer = manual.load(manual.job()).embedding
    assert words.vectors.shape == (len(words.names), layer.embedding_dim)  # type: ignore[union-attr]
    place = list(words.names).index("statement")
    assert torch.equal(embedding(manual, "Statement", part="words").vectors[0], words.vectors[place])
    texts = embedding(manual)
    assert texts.names[0].startswith('test:0 "')
    assert set(texts.labels) <= set(manual.job().data.labels)
    new = embedding(manual, "The import statement loads a module.")
    assert new.vectors.shape[1] == texts.vectors.shape[1]
    assert not new.labels
    one = embedding(manual, "test:0")
    assert torch.allclose(one.vectors[0], texts.vectors[0], atol=1e-5)
    with pytest.raises(UserError, match="Did you mean 'statement'"):
        embedding(manual, "statemnet", part="words")


def test_words_are_asked_of_runs_on_texts_alone(digits: Run) -> None:
    with pytest.raises(UserError, match="'words' is no part of these data"):
        embedding(digits, part="words")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a bold seven", True),
        ("seven", True),
        ("test:3", False),
        ("0.5,-1,1e-3", False),
        ("a.png", False),
        ("3", False),
    ],
)
def test_words_are_told_from_numbers_files_and_examples(text: str, words: bool) -> None:
    assert is_text(text) is words


def test_placing_nothing_of_a_part_that_is_not_there_says_what_is() -> None:
    with pytest.raises(UserError, match=r"'tset' is no part of these data. Did you mean 'test'\?"):
        placed(DigitsData().load(seed=0), [], "tset", lambda rows: rows)
    with pytest.raises(UserError, match="'development' is no part of these data"):
        placed(DigitsData(development=0.0).load(seed=0), [], "development", lambda rows: rows)


def test_embed_and_neighbours_are_commands(digits: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(digits.folder)
    assert command(["embed", folder, "--part", "development", "--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "embedding.npy").is_file()
    assert command(["neighbours", folder, "test:3", "-k", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[4].startswith("test:3 (")
    assert [line.split()[0] for line in said[5:7]] == ["1", "2"]
    assert said[7] == f"written: {digits.folder / 'neighbours.png'}"
    assert (digits.folder / "neighbours.png").read_bytes()[:4] == b"\x89PNG"


def test_the_curve_of_a_run_is_drawn_and_its_default_finds_nearly_all(
    digits: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["neighbours", str(digits.folder), "--curve"]) == 0
    said = capsys.readouterr().out.splitlines()
    (usual,) = [line.split() for line in said if line.startswith("hnsw") and "default" in line]
    assert float(usual[2]) >= 0.95
    (exact,) = [line.split() for line in said if line.startswith("exact")]
    assert float(exact[1]) == 1.0
    drawn = (digits.folder / "neighbours-curve.svg").read_text()
    assert drawn.count("<path") >= 2
    assert all(f">{name}</text>" in drawn for name in ("hnsw", "ivf_pq", "exact"))  # a file has no page to name lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("neighbours",), "neighbours came without an input; allowed: what predict takes"),
        (("neighbours", "test:3", "-k", "0"), "k is 0; allowed: a whole number from 1 to 299"),
        (("neighbours", "test:3", "--by", "hnws"), "by is 'hnws'; allowed: exact, hnsw, ivf_pq"),
        (("neighbours", "test:999"), "test:999 is not there; allowed: test:0 to test:269"),
        (("neighbours", "1,2"), "the input has 2 numbers; allowed: 64"),
        (("embed", "--map", "tsne"), "map is 'tsne'; allowed: pca or som"),
        (("embed", "--part", "tests"), "'tests' is no part of these data. Did you mean 'test'?"),
        (("embed", "nothing.png"), "there is no file nothing.png"),
    ],
)
def test_a_mistake_is_one_line(
    digits: Run, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = words
    assert command([name, str(digits.folder), *rest]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert not out


def test_without_faiss_an_index_names_the_extra(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.estimators.indexes.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'locution\[neighbours\]'"):
        nearest(embedding(digits, "test:1"), embedding(digits), 1, "hnsw")


def test_a_run_that_places_nothing_says_what_it_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.train("line", f"run_dir={tmp_path / 'run'}", "steps=2", quiet=True)
    assert command(["embed", str(tmp_path / "run"), "--part", "train"]) == 2
    assert "allowed: two or more, to have features between" in capsys.readouterr().err


def test_rows_of_a_table_and_tasks_in_a_row_are_placed_too(tmp_path: Path) -> None:
    table = runs.train("table", "epochs=1", f"run_dir={tmp_path / 'table'}", quiet=True)
    whole, (first, second) = embedding(table), embedding(table, "test:0", "test:1").vectors
    assert torch.allclose(whole.vectors[:2], torch.stack([first, second]), atol=1e-5)
    assert set(whole.labels) <= set(table.job().data.target.labels)
    column = table.job().data.encoding.codes[0].name
    assert embedding(table, f"{column}=1").vectors.shape == (1, whole.vectors.shape[1])
    words = ("data.limit=50", "model.widths=[8]", "epochs=5")
    tasks = runs.train("digits/split", *words, f"run_dir={tmp_path / 'tasks'}", quiet=True)
    assert embedding(tasks).vectors.shape[1] == 8
