"""The perceptron learns what a line can part, knows what it cannot, and keeps scikit-learn's conventions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from locution.engine import Batch, Engine, Turn
from locution.errors import UserError
from locution.estimators.perceptron import Perceptron, neuron
from locution.losses.basic import CrossEntropy
from locution.models.mlp import MLP, hidden_features
from locution.optimizers.basic import Adam

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
AND, OR, XOR = [0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]


@pytest.mark.parametrize("answers", [AND, OR], ids=["and", "or"])
def test_it_learns_and_and_or_within_novikoffs_bound(answers: list[int]) -> None:
    learnt = Perceptron().fit(CORNERS, answers)
    assert learnt.separable_ is True
    assert learnt.predict(CORNERS).tolist() == answers
    assert neuron(CORNERS, learnt.coef_[0], learnt.intercept_[0]).tolist() == answers
    rows = np.hstack([CORNERS, np.ones((4, 1))])
    signs = np.array(answers) * 2 - 1
    angles, heights = np.meshgrid(np.linspace(0, 2 * np.pi, 181), np.linspace(-1, 1, 181))
    flat = np.sqrt(1 - heights**2)
    sphere = np.stack([flat * np.cos(angles), flat * np.sin(angles), heights], -1)
    best = (sphere @ rows.T * signs).min(-1).max()  # the widest margin, by looking everywhere
    assert learnt.n_updates_ <= (rows**2).sum(1).max() / best**2


def test_it_follows_rosenblatts_rule_by_hand() -> None:
    learnt = Perceptron(max_epochs=1).fit(CORNERS, XOR)
    # (0,0): b -1; (0,1): w2 +1, b 0; (1,0): w1 +1, b 1; (1,1): w1 0, w2 0, b 0: back where it began
    assert learnt.n_updates_ == 4
    assert learnt.separable_ is False
    assert learnt.coef_.tolist() == [[0.25, 0.5]]  # the average of 0, 0, 1, 0 and of 0, 1, 1, 0
    assert learnt.intercept_.tolist() == [0.0]  # of -1, 0, 1, 0


def test_it_reports_that_xor_cannot_be() -> None:
    learnt = Perceptron().fit(CORNERS, XOR)
    assert learnt.separable_ is False
    assert learnt.report_.startswith("no: the weights after epoch 1 are those after epoch 0")
    assert learnt.n_iter_ == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_it_says_of_random_examples_is_what_a_linear_programme_says(seed: int) -> None:
    from scipy.optimize import linprog

    draw = np.random.default_rng(seed)
    rows = draw.integers(-3, 4, (9, 2)).astype(float)
    labels = draw.integers(0, 2, 9)
    labels[:2] = [0, 1]
    signs = labels * 2 - 1
    padded = np.hstack([rows, np.ones((9, 1))])
    feasible = linprog(np.zeros(3), -signs[:, None] * padded, -np.ones(9), bounds=[(None, None)] * 3).status == 0
    assert Perceptron(max_epochs=100000).fit(rows, labels).separable_ is feasible


def test_out_of_time_it_does_not_pretend_to_know() -> None:
    learnt = Perceptron(max_epochs=2).fit(CORNERS, AND)
    assert learnt.separable_ is None
    assert learnt.report_.startswith("unknown: after 2 epochs")


def test_where_no_line_parts_the_classes_it_keeps_the_average() -> None:
    from sklearn.linear_model import LogisticRegression

    for seed in range(4):
        draw = np.random.default_rng(seed)
        rows = np.vstack([draw.normal(-1, 1, (60, 2)), draw.normal(1, 1, (60, 2))])
        labels, order = np.repeat(["no", "yes"], 60), draw.permutation(120)
        rows, labels = rows[order], labels[order]
        learnt = Perceptron(max_epochs=50).fit(rows, labels)
        assert learnt.separable_ is None
        assert learnt.score(rows, labels) >= LogisticRegression().fit(rows, labels).score(rows, labels) - 0.02
        assert learnt.predict([[3.0, 3.0]]).tolist() == ["yes"]


def test_it_keeps_scikit_learns_conventions() -> None:
    from sklearn.base import clone
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not inherit from BaseEstimator; some checks need pandas
        check_estimator(Perceptron(max_epochs=20), on_skip=None)
    again = clone(Perceptron(learning_rate=0.5))
    assert again.get_params() == {"learning_rate": 0.5, "max_epochs": 1000}
    with pytest.raises(UserError, match="Did you mean 'learning_rate'"):
        again.set_params(leaning_rate=1.0)
    with pytest.raises(UserError, match=r"perceptron\.learning_rate is 0"):
        again.set_params(learning_rate=0.0).fit(CORNERS, AND)


def test_two_layers_learn_xor() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.tensor(CORNERS, dtype=torch.float32), torch.tensor(XOR)
    engine = Engine(MLP([2, 8, 2], "tanh"), Turn(CrossEntropy(), Adam(lr=0.05).build), device="cpu")
    engine.fit([Batch(inputs, targets)], steps=200)
    assert engine.trained()(inputs).argmax(1).tolist() == XOR
    # what the hidden layer makes of the corners, a line can part
    (hidden,) = hidden_features(engine.model, inputs)
    assert Perceptron(max_epochs=5000).fit(hidden.detach().numpy(), XOR).separable_ is True
