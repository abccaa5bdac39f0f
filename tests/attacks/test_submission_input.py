"""Samples and predictions that cannot make a submission: each names its error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import InputError
from ensembler.inference.submission import write_submission

IDS = ["a1", "b2", "c3"]
KEYS = [f"{name}_{component}" for name in IDS for component in range(2)]
EMBEDDINGS = np.ones((3, 2), dtype=np.float32)


def refusal(
    folder: Path,
    sample: bytes | None = None,
    ids: Sequence[str] = IDS,
    embeddings: object = EMBEDDINGS,
) -> str:
    """The message of the refusal; no file may appear."""
    file = folder / "sample.csv"
    if sample is not None:
        file.write_bytes(sample)
    with pytest.raises(InputError) as caught:
        write_submission(
            folder / "submission.csv",
            np.array(ids),
            np.asarray(embeddings),
            None if sample is None else file,
        )
    assert not [path for path in folder.iterdir() if "submission" in path.name]
    if sample is not None:
        assert str(file) in str(caught.value)
    return str(caught.value)


def sample_of(keys: Sequence[str]) -> bytes:
    return ("imgId_eId,val\n" + "".join(f"{key},0.0\n" for key in keys)).encode()


def test_ids_that_only_the_sample_has_are_listed_with_the_remedy(tmp_path: Path) -> None:
    more = [f"extra{number}_{k}" for number in range(8) for k in range(2)]
    message = refusal(tmp_path, sample_of([*more, *KEYS]))
    assert "ids without a prediction, extra0, extra1, extra2, extra3, extra4 and 3 more" in message
    assert "add them to the store's samples" in message


def test_ids_that_the_sample_lacks_are_listed_with_the_remedy(tmp_path: Path) -> None:
    message = refusal(tmp_path, sample_of(KEYS[:2]))
    assert "it lacks predicted ids, b2, c3: leave them out" in message


def test_missing_and_extra_ids_are_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, sample_of([*KEYS[:4], "z_0", "z_1"]))
    assert "without a prediction, z:" in message
    assert "lacks predicted ids, c3:" in message


def test_a_key_that_comes_twice_is_named(tmp_path: Path) -> None:
    assert "keys that come twice, 1 in all: b2_1;" in refusal(tmp_path, sample_of([*KEYS, "b2_1"]))


def test_a_missing_key_of_a_known_id_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, sample_of([key for key in KEYS if key != "c3_0"]))
    assert "keys that are missing, 1 in all: c3_0;" in message


def test_a_sample_of_more_components_is_refused(tmp_path: Path) -> None:
    keys = [f"{name}_{component}" for name in IDS for component in range(3)]
    message = refusal(tmp_path, sample_of(keys))
    assert "has the key a1_2, embeddings have 2 numbers" in message


def test_a_component_of_a_billion_asks_for_no_memory(tmp_path: Path) -> None:
    assert "a1_1000000000" in refusal(tmp_path, sample_of([*KEYS, "a1_1000000000"]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"id,val\na1_0,0\n",
        b"a1_0,0.5\na1_1,0.5\n",
        b"imgId_eId,val\na10,0\n",
        b"imgId_eId,val\na1_x,0\n",
        b"imgId_eId,val\na1_-1,0\n",
        b"imgId_eId,val\n_0,0\n",
        b"imgId_eId,val\na1_99999999999999999999,0\n",
        b"imgId_eId,val\na1_0,0,0,0\n",
        b"imgId_eId,val\n\xff\xfe_0,0\n",
        b"PK\x03\x04\x00\x00",
    ],
)
def test_a_file_that_is_no_sample_submission_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "cannot be read as a sample submission" in refusal(tmp_path, content)


def test_a_sample_without_lines_lacks_every_id(tmp_path: Path) -> None:
    assert "it lacks predicted ids, a1, b2, c3" in refusal(tmp_path, b"imgId_eId,val\n")


def test_a_missing_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.csv"):
        write_submission(tmp_path / "out.csv", np.array(IDS), EMBEDDINGS, tmp_path / "nowhere.csv")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_value_that_is_not_finite_in_float32_names_the_id(tmp_path: Path, value: float) -> None:
    embeddings = np.ones((3, 2))
    embeddings[1, 1] = value
    assert "the embeddings of b2 hold NaN" in refusal(tmp_path, embeddings=embeddings)


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb", "a\rb"])
def test_an_id_that_would_need_quotes_is_refused(tmp_path: Path, name: str) -> None:
    assert repr(name) in refusal(tmp_path, ids=["a1", name, "c3"])


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    assert "ids come twice: a1" in refusal(tmp_path, ids=["a1", "b2", "a1"])


def test_other_numbers_of_ids_and_rows_are_refused(tmp_path: Path) -> None:
    assert "3 ids do not fit" in refusal(tmp_path, embeddings=np.ones((2, 2)))
    assert "3 ids do not fit" in refusal(tmp_path, embeddings=np.ones(3))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"submission\.csv cannot be written"):
        write_submission(tmp_path / "no" / "submission.csv", np.array(IDS), EMBEDDINGS)
