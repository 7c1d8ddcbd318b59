"""Parts that are made for some tasks are refused by the others in one line, before anything is loaded."""

from __future__ import annotations

import inspect

import pytest

from locution import config
from locution.errors import UserError
from locution.recipe import resolve
from locution.vocabulary.lookup import find, names, part
from locution.vocabulary.suited import ONLY, SPEECH, check_suited


def test_parts_that_general_tasks_cannot_ask_are_all_known() -> None:
    """A general task loads data by a seed, and builds a model from the shape of an example and the answers' number."""
    unlike = {name for name in names("data") if list(_asked(part("data", name), "load")) != ["self", "seed"]}
    assert unlike <= set(ONLY["data"])
    built = {
        name for name in names("model") if list(_asked(part("model", name), "build")) != ["self", "inputs", "outputs"]
    }
    assert built == set(ONLY["model"])


def _asked(kind: type, name: str) -> list[str]:
    method = getattr(kind, name, None)
    return list(inspect.signature(method).parameters) if method else []


def test_names_are_those_of_parts_and_tasks() -> None:
    for kind, known in ONLY.items():
        for name, tasks in known.items():
            assert find(name).kind == kind
            assert find(name).name == name
            assert all(find(task).kind == "task" and find(task).name == task for task in tasks)
    assert set(SPEECH) <= {task for tasks in (*ONLY["data"].values(), *ONLY["model"].values()) for task in tasks}


@pytest.mark.parametrize(
    ("recipe", "word", "said"),
    [
        ("digits", "data={name: speech}", "data 'speech' is made for the task recognition or head_training; allowed"),
        ("digits", "model={name: encoder}", "model 'encoder' is made for the task hearing; allowed"),
        ("digits", "data={name: episodes}", "data 'episodes' is made for the task reinforcement; allowed"),
        ("texts/masked", "data={name: preferences}", "data 'preferences' is made for the task preference; allowed"),
        ("texts/causal", "data={name: repetitions}", "data 'repetitions' is made for the task repeating; allowed"),
        ("speech", "model={name: mlp}", "task 'recognition' cannot do with model 'mlp'; allowed: recogniser."),
        ("speech/encoder", "data={name: digits}", "task 'hearing' cannot do with data 'digits'; allowed: spoken."),
        ("speech/decoder", "task=regression", "data 'repetitions' is made for the task repeating"),
    ],
)
def test_a_part_that_is_made_for_another_task_is_refused_in_one_line(recipe: str, word: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        resolve(recipe, [word])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_recipe_goes_together() -> None:
    for name in config.recipes():
        settings = config.compose(name, [])
        check_suited(settings["task"], {kind: settings.get(kind) or {} for kind in ("data", "model")})
