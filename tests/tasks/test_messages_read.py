"""A run on messages answers for a text that somebody has written, read as the data read theirs."""

from __future__ import annotations

import pytest
import torch

from locution import runs
from locution.cli import app
from locution.data.dataset import Dataset
from locution.data.line import LineData
from locution.data.messages import MessagesData, bag_of_words
from locution.errors import UserError
from locution.tasks.inputs import read_input
from locution.tasks.supervised import answer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    small = ("data.count=200", "data.held=40", "epochs=6", "model.widths=[16]", "optimizer.lr=0.02", "threads=1")
    return runs.train("messages", *small, f"run_dir={tmp_path_factory.mktemp('runs') / 'run'}", quiet=True)


def test_a_text_is_answered_for_as_the_trained_model_does(run: runs.Run) -> None:
    texts = ["you have won a cash prize, call now", "see you on monday. bring the report"]
    with torch.no_grad():
        outputs = run.load(run.job())(bag_of_words(texts, 1024))
    found = run.predict(texts)
    assert found == [answer(output, ("wanted", "unwanted")) for output in outputs]
    assert [line.split()[0] for line in found] == ["unwanted", "wanted"]


def test_examples_of_the_data_are_still_read(run: runs.Run) -> None:
    data = run.job().data
    assert torch.equal(read_input("test:3", data), data.test.inputs[3])
    assert run.predict(["test:3"])[0].split()[0] in ("wanted", "unwanted")


def test_at_the_command_line(run: runs.Run, capsys: pytest.CaptureFixture[str]) -> None:
    text = "free entry. win 1000 now, see www.prize.example"  # it looks like numbers and a file, and is neither
    app(["predict", str(run.folder), text], result_action="return_value")
    assert capsys.readouterr().out.strip() == run.predict([text])[0]


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="holds no word; allowed: a message in words"):
        read_input(text, MessagesData(count=4, held=4).load(seed=0))


def test_a_part_that_is_not_there_is_said_with_what_is_read_instead() -> None:
    line, words = LineData().load(seed=0), MessagesData(count=4, held=4).load(seed=0)
    with pytest.raises(UserError, match="no test set here; allowed: numbers, or a file"):
        read_input("test:0", line)
    with pytest.raises(UserError, match="no test set here; allowed: what these data read"):
        read_input("test:0", Dataset(words.train, reader=words.reader))
