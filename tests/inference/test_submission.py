"""submission.csv: its header, order and numbers."""

from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import InputError
from ensembler.inference import submission
from ensembler.inference.submission import write_submission
from ensembler.store.importing.long_layout import read_long

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "competition_sample"
IDS = np.array(["92e911621", "a_b", "00f"])
EMBEDDINGS = np.array([[1.5, -2.0], [0.1, 3e-5], [-0.25, 8.0]], dtype=np.float32)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "submission.csv"


def test_without_a_sample_ids_are_sorted_and_nothing_is_quoted(out: Path) -> None:
    write_submission(out, IDS, EMBEDDINGS)
    assert out.read_text() == (
        "imgId_eId,val\n"
        "00f_0,-0.25\n00f_1,8\n92e911621_0,1.5\n92e911621_1,-2\na_b_0,0.1\na_b_1,0.00003\n"
    )


def test_with_a_sample_its_order_is_kept_whatever_it_is(out: Path, tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    keys = ["a_b_1", "00f_0", "92e911621_1", "a_b_0", "92e911621_0", "00f_1"]
    sample.write_text('"imgId_eId","val"\n' + "".join(f'"{key}",0\n' for key in keys))
    write_submission(out, IDS, EMBEDDINGS, sample)
    lines = out.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["imgId_eId", *keys]
    assert [line.split(",")[1] for line in lines[1:]] == [
        "0.00003",
        "-0.25",
        "-2",
        "0.1",
        "1.5",
        "8",
    ]


@pytest.mark.parametrize("lines", [1, 5, 1 << 18])
def test_neither_order_nor_blocks_change_a_value(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.setattr(submission, "LINES", lines)
    rng = np.random.default_rng(0)
    ids = np.array([f"{number:x}" for number in rng.permutation(50)])
    embeddings = (rng.standard_normal((50, 7)) * 10.0 ** rng.integers(-30, 30, (50, 7))).astype(
        "f4"
    )
    write_submission(out, ids, embeddings)
    found = read_long(out)
    assert found.ids.tolist() == sorted(ids.tolist())
    np.testing.assert_array_equal(found.vectors, embeddings[np.argsort(ids)])

    shuffled = out.read_text().splitlines()
    shuffled[1:] = rng.permutation(shuffled[1:]).tolist()
    (tmp_path / "sample.csv").write_text("\n".join(shuffled) + "\n")
    write_submission(out, ids, embeddings, tmp_path / "sample.csv")
    assert out.read_text().splitlines() == shuffled


def test_writing_over_the_sample_itself_works(out: Path) -> None:
    write_submission(out, IDS, EMBEDDINGS)
    before = out.read_text()
    write_submission(out, IDS[::-1], EMBEDDINGS[::-1], out)
    assert out.read_text() == before


def test_no_rows_make_a_header(out: Path) -> None:
    write_submission(out, np.array([], dtype=np.str_), np.empty((0, 3), dtype=np.float32))
    assert out.read_text() == "imgId_eId,val\n"


def test_an_error_leaves_the_old_file_and_nothing_beside_it(out: Path) -> None:
    out.write_text("old")
    with pytest.raises(InputError):
        write_submission(out, IDS, EMBEDDINGS * np.float32(np.nan))
    assert out.read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_the_published_sample_is_written_again_row_for_row(out: Path) -> None:
    sample = SHARED / "sample_submission.csv"
    published = read_long(sample)
    order = np.random.default_rng(0).permutation(len(published.ids))
    write_submission(out, published.ids[order], published.vectors[order], sample)
    again = read_long(out)
    assert again.ids.tolist() == published.ids.tolist()
    np.testing.assert_array_equal(again.vectors, published.vectors)
    keys = [[line.split(",")[0] for line in f.read_text().splitlines()] for f in (sample, out)]
    assert keys[0] == keys[1]
