from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ensembler.cli.main import FINDINGS, cli, main
from ensembler.files import canonical_json, sha256_arrays
from ensembler.store.model import Manifest, MemberRecord, SamplesRecord
from ensembler.store.samples import samples_digest

KEYS = {"kind", "member", "rows", "message"}


def write_store(folder: Path, *, zero_rows: int) -> Path:
    """Five test embeddings of one member, the first of them of length zero."""
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    vectors[:zero_rows] = 0.0
    rows = np.arange(5)
    ids = ["a", "b", "c", "d", "92e911621"]
    names = {"id": ids, "group": ids, "source": [""] * 5}
    table = pa.table({**names, "fold": np.full(5, -1)})
    home = folder / "members" / "model"
    home.mkdir(parents=True)
    pq.write_table(table, folder / "samples.parquet")
    np.save(home / "rows.npy", rows)
    np.save(home / "embeddings.npy", vectors)
    member = MemberRecord(
        name="model",
        rows=5,
        zero_rows=zero_rows,
        dim=8,
        dtype="float32",
        sha256=sha256_arrays(rows, vectors),
    )
    samples = SamplesRecord(rows=5, columns=tuple(table.column_names), sha256=samples_digest(table))
    manifest = Manifest(dim=8, samples=samples, members=(member,))
    (folder / "manifest.json").write_bytes(canonical_json(manifest.model_dump(mode="json")))
    return folder


def test_a_clean_store_exits_0_and_says_what_was_checked(tmp_path: Path) -> None:
    store = write_store(tmp_path / "oof", zero_rows=0)
    result = CliRunner().invoke(cli, ["store", "audit", str(store)])
    assert result.exit_code == 0
    assert result.stdout == (
        "no findings in 5 samples; members: 1 (checked: nan, zero_norm, hash, constant, twin;"
        " without targets the rest cannot be)\n"
    )


def test_findings_exit_3_with_one_line_each(tmp_path: Path) -> None:
    store = write_store(tmp_path / "oof", zero_rows=2)
    result = CliRunner().invoke(cli, ["store", "audit", str(store)])
    assert result.exit_code == FINDINGS
    assert result.stdout == (
        "zero_norm  model: 2 of 5 rows are of length zero and count as absent (ids a, b); predict"
        " them, or leave them out and add 'model' again\n"
    )


@pytest.mark.parametrize(("zero_rows", "exit_code"), [(0, 0), (2, FINDINGS)])
def test_json_is_one_object_of_findings(tmp_path: Path, zero_rows: int, exit_code: int) -> None:
    store = write_store(tmp_path / "oof", zero_rows=zero_rows)
    result = CliRunner().invoke(cli, ["store", "audit", str(store), "--json"])
    assert result.exit_code == exit_code
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert set(document) == {"checked", "findings"}
    assert document["checked"] == ["nan", "zero_norm", "hash", "constant", "twin"]
    assert all(set(finding) == KEYS for finding in document["findings"])
    found = [(item["kind"], item["member"], item["rows"]) for item in document["findings"]]
    assert found == ([("zero_norm", "model", 2)] if zero_rows else [])


def test_the_program_itself_exits_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_store(tmp_path / "oof", zero_rows=1)
    monkeypatch.setattr("sys.argv", ["ensembler", "store", "audit", str(store)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == FINDINGS


def test_a_folder_that_is_no_store_exits_2_with_the_remedy_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ensembler", "store", "audit", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert "ensembler store create" in capsys.readouterr().err
