"""What principal components leave out, against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from locution.errors import UserError
from locution.evaluation.principal_error import principal_error


@pytest.mark.parametrize("count", [1, 3, 6])
def test_it_is_what_scikit_learns_pca_loses(count: int) -> None:
    draw = np.random.default_rng(0)
    seen, held = draw.normal(size=(40, 6)) @ draw.normal(size=(6, 6)) + 3, draw.normal(size=(9, 6))
    pca = PCA(count).fit(seen)
    wanted = ((held - pca.inverse_transform(pca.transform(held))) ** 2).mean(1)
    found = principal_error(torch.from_numpy(seen).view(40, 2, 3), torch.from_numpy(held).view(9, 2, 3), count)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-10)


def test_more_components_than_there_can_be_are_refused() -> None:
    with pytest.raises(UserError, match=r"components is 3; allowed: 1 to 2, for examples \(2, 4\)"):
        principal_error(torch.rand(2, 4), torch.rand(1, 4), 3)
