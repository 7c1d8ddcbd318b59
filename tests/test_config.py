"""What a user types becomes a recipe, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from locution import config
from locution.errors import UserError
from locution.recipe import from_settings, resolve


def test_override_reaches_the_recipe() -> None:
    settings = config.compose("digits", ["optimizer.lr=0.1", "model.widths=[8,4]", "seed=7"])
    assert settings["optimizer"]["lr"] == 0.1
    assert settings["model"]["widths"] == [8, 4]
    assert settings["seed"] == 7


def test_methods_switch_on_set_and_off() -> None:
    on = config.compose("digits", ["+mixup.alpha=0.4", "+mixup", "+sam"])
    assert on["methods"] == {"mixup": {"alpha": 0.4}, "sam": {}}
    assert config.compose("digits", ["+sam", "-sam"])["methods"] == {}


def test_a_method_listed_twice_is_one() -> None:
    assert config.compose("digits", ["+sam", "+sam", "+sam.rho=0.1"])["methods"] == {"sam": {"rho": 0.1}}


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("digit", [], "'digit' is no recipe. Did you mean 'digits'?"),
        ("digits", ["+samm"], "'samm' is no method. Did you mean 'sam'?"),
        ("digits", ["+sam.rh=0.1"], "'sam.rh' is no key. Did you mean 'sam.rho'?"),
        ("digits", ["optimizer.leaning_rate=0.1"], "Did you mean 'optimizer.lr'?"),
        ("digits", ["optimiser.lr=0.1"], "'optimiser' is no key. Did you mean 'optimizer'?"),
        ("digits", ["optimizer.lr=fast"], "optimizer.lr is 'fast'; allowed: a number."),
        ("digits", ["optimizer.lr=-1"], "optimizer.lr is -1.0; allowed:"),
        ("digits", ["epochs=0"], "epochs is 0; allowed: a whole number from 1."),
        ("digits", ["epochs=ten"], "epochs is 'ten'; allowed: a whole number or null."),
        ("digits", ["optimizer.lr=[1"], "optimizer.lr=[1"),
        ("digits", ["model.name=mpl"], "'mpl' is no model. Did you mean 'mlp'?"),
        ("digits", ["model._target_=os.system"], "asks for code by its import path"),
        ("digits", ["-sam"], "'sam' is no method that this recipe has switched on"),
        ("digits", ["sam"], "'sam' is no override; allowed: key=value, +method"),
        ("digits", ["epochs=1", "steps=1"], "allowed: one of the two"),
        ("nowhere.yaml", [], "there is no recipe file nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_one_line(recipe: str, words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(recipe, words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_budget_that_is_typed_takes_the_place_of_the_recipes() -> None:
    assert resolve("digits", ["steps=5"]).epochs is None
    assert resolve("line", ["epochs=5"]).steps is None


def test_a_recipe_of_ones_own_may_not_name_code(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "task: regression\ndata: {name: line}\noptimizer: {_target_: os.system, command: 'true'}\nsteps: 1\n"
    )
    with pytest.raises(UserError, match=r"optimizer\._target_ asks for code"):
        resolve(str(mine))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("data: {name: line}\nsteps: 1\n", "optimizer is {}; allowed: a part and its settings, as {name: adamw}."),
        (
            "estimator: {name: nearest_neighbours}\nsteps: 1\n",
            "steps came beside estimator 'nearest_neighbours', which learns without gradients; allowed: its own",
        ),
        ("estimator: {name: nearest_neighbors}\nmethods: {sam: {}}\n", "methods came beside estimator"),
        ("estimator: {name: nearest_neighbours}\ncompile: true\n", "compile came beside estimator"),
        ("estimator: {name: nearest_neighbours}\nprecision: bf16\n", "precision came beside estimator"),
        ("estimator: {name: nearest_neighbours}\naccumulate: 4\n", "accumulate came beside estimator"),
        ("estimator: {name: nearest_neighbours}\nmodel: {name: mlp}\n", "model came beside estimator"),
        ("estimator: {name: nearest_neighbours}\nobjective: {name: mse}\n", "objective came beside estimator"),
        ("estimator: {name: perceptrons}\n", "'perceptrons' is no estimator. Did you mean 'perceptron'?"),
        ("estimator: {name: nearest_neighbours, kay: 3}\n", "'estimator.kay' is no key."),
    ],
)
def test_an_optimizer_has_a_budget_and_an_estimator_has_none(tmp_path: Path, lines: str, said: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"task: classification\n{lines}" + ("" if "data" in lines else "data: {name: digits}\n"))
    with pytest.raises(UserError) as caught:
        resolve(str(mine))
    assert said in str(caught.value)


def test_a_recipe_of_ones_own_trains_by_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(config.locate("line").read_text())
    assert resolve(str(mine), ["steps=3"]).steps == 3


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "a: !!python/object/apply:os.system ['true']\n"])
def test_yaml_that_is_no_recipe_is_one_line(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    with pytest.raises(UserError) as caught:
        resolve(str(mine))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", config.recipes())
def test_every_recipe_resolves(name: str) -> None:
    recipe = resolve(name)
    assert recipe.name == name


def test_settings_written_to_a_run_make_the_same_recipe(tmp_path: Path) -> None:
    recipe = resolve("digits", ["+sam.rho=0.1"])
    mine = tmp_path / "recipe.yaml"
    mine.write_text(config.to_yaml(recipe.settings()))
    assert resolve(str(mine)).settings() == recipe.settings()


def test_another_part_takes_nothing_from_the_one_it_replaces() -> None:
    """The recipe's projector is {name: mlp, stack: 2, hidden: 512}: none of that may stay in another kind."""
    settings = config.compose("speech", ["model.projector={name: mosa, stride: 2}"])
    assert settings["model"]["projector"] == {"name": "mosa", "stride": 2}
    kept = config.compose("speech", ["model.projector.stack=4"])["model"]["projector"]
    assert (kept["name"], kept["stack"], kept["hidden"]) == ("mlp", 4, 512)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("describe=it's two words", "it's two words"),
        ("describe=${not} a reference", "${not} a reference"),
        ("describe='said as a text'", "said as a text"),
        ('describe="so is this"', "so is this"),
        ("describe= around ", "around"),
        ("start=digits model.widths=[64,32]", "digits model.widths=[64,32]"),
    ],
)
def test_a_value_with_blanks_in_it_is_one_text(word: str, text: str) -> None:
    assert config.compose("line", [word])[word.partition("=")[0]] == text


def test_blanks_around_a_value_make_no_text_of_it() -> None:
    assert config.compose("line", ["steps= 3 "])["steps"] == 3
    assert config.compose("line", ["data={name: line}"])["data"]["name"] == "line"


def test_what_is_written_down_of_a_recipe_is_what_it_says_and_makes_it_again() -> None:
    recipe = resolve("line", ["seed=0", "+clipping"])
    settings = recipe.settings()
    assert {"name", "task", "data", "seed", "methods"} <= settings.keys()
    assert not settings.keys() & {"start", "epochs", "run_dir", "figures"}, "nothing that was left open"
    assert from_settings(settings) == recipe


def test_epochs_and_steps_each_take_the_others_place_and_both_are_refused_as_they_were_said() -> None:
    def length(recipe: str, *words: str) -> tuple[int | None, int | None]:
        found = resolve(recipe, words)
        return found.epochs, found.steps

    own = resolve("digits").epochs
    assert length("digits") == (own, None)
    assert length("digits", "steps=5") == (None, 5)
    assert length("line", "epochs=2") == (2, None)
    with pytest.raises(UserError, match="epochs is 2 and steps is 5; allowed: one of the two"):
        length("digits", "epochs=2", "steps=5")


def test_what_a_digest_leaves_out_is_what_trains_nothing() -> None:
    def digest(*words: str) -> str:
        return resolve("digits", words).digest()

    for same in ("run_dir=a", "seed=4", "trackers=[tensorboard]", "name=other", "describe=other"):
        assert digest(same) == digest(), same
    for other in ("epochs=3", "start=a", "fresh=a", "figures=[sharpness]", "accumulate=2"):
        assert digest(other) != digest(), other
    assert digest("+sam", "+clipping") == digest("+clipping", "+sam") != digest("+sam"), "the order says nothing"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "data=two_moons",
            r"data=two_moons came to data 'digits', which read no files; .*, or data\.name=two_moons\.$",
        ),
        ("data=none/such", r"data=none/such came to data 'digits', .* table, images, texts \(locution recipes\)\.$"),
    ],
)
def test_files_for_data_that_read_none_are_refused_with_what_does(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve("digits", [word])
