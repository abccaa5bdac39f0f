"""A predictor's files: computing digests, finding, verifying and loading them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler.errors import EnsemblerError, InputError, PredictorError
from ensembler.predicting.checkpoints import (
    checkpoint_digests,
    checkpoint_folders,
    load_predictor,
    locate_checkpoints,
    start_verifying,
    verify_checkpoints,
)
from ensembler.predicting.definition import FoldFiles, PredictorDefinition
from ensembler.store.model import Origin


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two folds' weights, a note for both, and a folder of files."""
    folder = tmp_path / "made"
    (folder / "text" / "deep").mkdir(parents=True)
    (folder / "text/deep/vocabulary.txt").write_text("one two")
    (folder / "note.txt").write_text("for all")
    for fold in range(2):
        np.save(folder / f"fold{fold}.npy", np.eye(3, dtype=np.float32) * (1 + fold))
    return folder


def definition(**shared: str) -> PredictorDefinition:
    return PredictorDefinition(
        adapter="colours",
        files=shared,
        checkpoints=tuple(
            FoldFiles(fold=fold, files={"weights": f"fold{fold}.npy"}) for fold in range(2)
        ),
    )


def origin(root: Path) -> Origin:
    made = definition(note="note.txt")
    return Origin(predictor="colours", checkpoints=checkpoint_digests(made, root))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_of_one_file_has_its_digest(root: Path) -> None:
    found = checkpoint_digests(definition(), root)
    assert [one.fold for one in found] == [0, 1]
    for one in found:
        assert one.sha256 == one.files[0].sha256 == sha256(root / one.files[0].path)


def test_each_checkpoint_names_shared_files_too(root: Path) -> None:
    found = checkpoint_digests(definition(note="note.txt"), root)
    for one in found:
        assert [file.role for file in one.files] == ["note", "weights"]
        assert {file.role: file.sha256 for file in one.files}["note"] == sha256(root / "note.txt")
    assert len({found[0].sha256, found[1].sha256}) == 2


def test_without_checkpoints_the_files_are_one_of_no_fold(root: Path) -> None:
    made = PredictorDefinition(adapter="colours", files={"weights": "fold0.npy"})
    assert [one.fold for one in checkpoint_digests(made, root)] == [None]


@pytest.mark.parametrize("changed", ["fold0.npy", "note.txt", "text/deep/vocabulary.txt"])
def test_any_changed_file_changes_the_digest(root: Path, changed: str) -> None:
    made = definition(note="note.txt", vocabulary="text")
    before = checkpoint_digests(made, root)[0].sha256
    content = bytearray((root / changed).read_bytes())
    content[-1] ^= 1
    (root / changed).write_bytes(content)
    assert checkpoint_digests(made, root)[0].sha256 != before


def test_a_missing_file_is_reported_with_its_role_and_the_nearest(root: Path) -> None:
    made = PredictorDefinition(adapter="colours", files={"weights": "flod0.npy"})
    with pytest.raises(PredictorError, match=r"'weights', .*did you mean 'fold0\.npy'\?"):
        checkpoint_digests(made, root)


def test_files_are_found_in_the_first_folder_that_has_them(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/fold1.npy").write_bytes(b"another")
    found = locate_checkpoints(origin(root), [root, tmp_path / "other"], member="m")
    assert [one.files["weights"] for one in found] == [root / "fold0.npy", root / "fold1.npy"]
    verify_checkpoints(found, member="m")


def test_of_several_files_of_one_path_the_one_with_the_right_digest_is_taken(
    root: Path, tmp_path: Path
) -> None:
    made = origin(root)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fold1.npy").write_bytes(name.encode())
    folders = [tmp_path / "first", tmp_path / "second", root]
    assert locate_checkpoints(made, folders, member="m")[1].files["weights"] == root / "fold1.npy"
    (root / "fold1.npy").unlink()
    found = locate_checkpoints(made, folders, member="m")  # none is right: told when verified
    assert found[1].files["weights"] == tmp_path / "first/fold1.npy"


def test_a_process_does_not_outlive_its_work_to_finish_a_digest(root: Path) -> None:
    made = origin(root)
    (root / "fold0.npy").unlink()
    os.mkfifo(root / "fold0.npy")  # hashing it would never end
    code = (
        "import sys; from pathlib import Path; from ensembler.store.model import Origin;"
        "from ensembler.predicting.checkpoints import locate_checkpoints, start_verifying;"
        "origin = Origin.model_validate_json(sys.argv[2]);"
        "found = locate_checkpoints(origin, [Path(sys.argv[1])], member='m');"
        "print(start_verifying(found, member='m').done())"
    )
    command = [sys.executable, "-c", code, str(root), made.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout == "False\n"


def test_all_missing_files_are_reported_at_once_with_the_nearest(root: Path) -> None:
    made = origin(root)
    (root / "fold0.npy").rename(root / "fold_0.npy")
    (root / "sub").mkdir()
    (root / "note.txt").rename(root / "sub/note.txt")
    with pytest.raises(PredictorError) as refused:
        locate_checkpoints(made, [root], member="reds")
    told = str(refused.value)
    assert "member 'reds': looked in" in told
    assert "fold0.npy (weights); did you mean 'fold_0.npy'?" in told
    assert "note.txt (note); did you mean 'sub/note.txt'?" in told


def test_a_swapped_file_is_reported_with_member_role_and_both_digests(root: Path) -> None:
    made = origin(root)
    right, wrong = sha256(root / "fold0.npy"), sha256(root / "fold1.npy")
    (root / "fold0.npy").write_bytes((root / "fold1.npy").read_bytes())
    found = locate_checkpoints(made, [root], member="reds")
    with pytest.raises(PredictorError) as refused:
        start_verifying(found, member="reds").result()
    told = str(refused.value)
    assert told.startswith(f"member 'reds': its weights, {root / 'fold0.npy'}, has the sha256")
    assert wrong in told
    assert right in told


def test_verifying_in_a_thread_says_nothing_when_all_is_well(root: Path) -> None:
    found = locate_checkpoints(origin(root), [root], member="reds")
    start_verifying(found, member="reds").result()


def test_an_imported_member_cannot_be_predicted_from_images() -> None:
    with pytest.raises(PredictorError, match="member 'old' was imported from files"):
        locate_checkpoints(Origin(), [], member="old")


def test_a_missing_checkpoint_folder_is_reported_with_the_remedy(root: Path) -> None:
    with pytest.raises(PredictorError, match=r"no folder \(give --checkpoints or ENSEMBLER_CH"):
        locate_checkpoints(origin(root), [], member="m")


def test_folders_come_from_the_command_line_first_then_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    a, b, c = folders
    monkeypatch.setenv("ENSEMBLER_CHECKPOINTS", f"{b}:{c}::{a}")
    assert checkpoint_folders([c]) == (c, b, a)
    monkeypatch.delenv("ENSEMBLER_CHECKPOINTS")
    assert checkpoint_folders([]) == ()
    with pytest.raises(InputError, match=r"no folder .*gone to search for checkpoints"):
        checkpoint_folders([tmp_path / "gone"])


def test_a_predictor_is_loaded_by_its_adapters_name(root: Path) -> None:
    loaded = load_predictor("colours", {"size": 6}, {"weights": root / "fold0.npy"})
    assert (loaded.dim, loaded.preprocess.height) == (3, 6)


@pytest.mark.parametrize(
    ("name", "config", "role", "message"),
    [
        ("colour", {}, "weights", "no predictor named 'colour'; did you mean 'colours'?"),
        ("colours", {"sise": 6}, "weights", "config: no key named 'sise'; did you mean 'size'?"),
        ("colours", {"size": "x"}, "weights", "config: size:"),
        ("colours", {}, "note", "no file is given for weights"),
        ("uninstalled", {}, "weights", "pip install 'colours[models]'"),
        ("no_adapter", {}, "weights", "is not an adapter: it lacks"),
        ("lost", {}, "weights", "'lost' of colours cannot be imported"),
    ],
)
def test_a_failed_load_is_reported(
    root: Path, name: str, config: dict[str, Any], role: str, message: str
) -> None:
    with pytest.raises(PredictorError) as refused:
        load_predictor(name, config, {role: root / "fold0.npy"})
    assert message in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"cos\nsystem\n(S'exit 1'\ntR."])
def test_a_librarys_error_over_a_broken_file_is_a_predictor_error(
    root: Path, content: bytes
) -> None:
    (root / "fold0.npy").write_bytes(content)
    with pytest.raises(PredictorError, match=r"colours cannot be loaded from .*fold0\.npy"):
        load_predictor("colours", {}, {"weights": root / "fold0.npy"})


def test_an_adapter_that_breaks_its_contract_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import colours  # type: ignore[import-not-found] # of the package that the fixture installs

    monkeypatch.setattr(colours.Colours, "load", lambda *_, **__: "a text")
    with pytest.raises(EnsemblerError, match="colours: a str is not a predictor"):
        load_predictor("colours", {}, {"weights": root / "fold0.npy"})
