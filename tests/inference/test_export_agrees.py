"""The exported file, run where this package cannot be seen, blends as `predict` does."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.inference.blend import predict_store
from ensembler.spec.export import export_python
from ensembler.spec.model import EnsembleSpec
from ensembler.store.reader import Store

IDS = ["a", "b", "c", "d", "e", "f"]
PRIOR = np.array([0.6, 0.0, 0.8])
RUN = """
import sys, numpy as np
sys.modules["ensembler"] = None  # an import of it would fail
from exported import blend
members = dict(np.load("members.npz"))
np.save("blended.npy", blend(members))
"""


def members() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    first, second, third = rng.standard_normal((3, len(IDS), 3)).astype(np.float32)
    first[[0, 3]] = 0.0
    second[[1, 3]] = 0.0
    third[3] = 0.0
    second[4] *= np.float32(1e-20)
    third[5] *= np.float32(1e20)
    first[2] = -second[2]
    third[2] = 0.0
    return {"first": first, "second.v2": second, "third+": third}


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("alphas", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 1.5, 1.0)])
@pytest.mark.parametrize("prior_weight", [0.0, 0.25])
def test_exported_file_blends_as_predict_does(
    make_store: Callable[..., Store],
    make_spec: Callable[..., EnsembleSpec],
    tmp_path: Path,
    centred: bool,
    alphas: tuple[float, ...],
    prior_weight: float,
) -> None:
    vectors = members()
    means = np.array([[0.1, 0.2, 0.3], [0.0, 0.0, 0.1], [0.3, 0.1, 0.0]], dtype=np.float32)
    blend = WeightedSum(
        prior_weight=prior_weight,
        weights=np.array([0.4, 0.4, 0.2]),
        alphas=np.array(alphas),
        means=means if centred else None,
    )
    spec = make_spec(list(vectors), blend, PRIOR)
    prediction = predict_store(spec, make_store(IDS, vectors))
    assert prediction.prior_rows == 1
    opposite_rows_cancel = not centred and prior_weight == 0.0 and alphas[0] == alphas[1]
    assert prediction.cancelled_rows == int(opposite_rows_cancel)

    (tmp_path / "exported.py").write_text(export_python(spec))
    vectors["first"][3] = np.nan  # absent in either spelling
    np.savez(tmp_path / "members.npz", **vectors)  # type: ignore[arg-type]  # the stub takes **vectors for flags
    subprocess.run([sys.executable, "-W", "error", "-c", RUN], cwd=tmp_path, check=True)
    blended = np.load(tmp_path / "blended.npy")
    np.testing.assert_allclose(blended, prediction.embeddings, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(blended, axis=1), 1.0)


def test_exported_file_imports_numpy_and_the_standard_library_only(
    make_spec: Callable[..., EnsembleSpec],
) -> None:
    blend = WeightedSum(prior_weight=1.0, weights=np.ones(1), alphas=np.ones(1), means=None)
    source = export_python(make_spec(["a"], blend, PRIOR))
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import base64", "import numpy as np"]
    assert len(source.splitlines()) < 55
