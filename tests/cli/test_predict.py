"""`ensembler predict` as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ensembler.cli import main as cli_main
from ensembler.spec.loading import load_spec, seal
from ensembler.store.create import create_store
from ensembler.store.writer import add_member

SPEC = Path(__file__).parents[1] / "golden" / "spec-v1.json"
IDS = ["92e911621", "00f", "a4e1c55a9"]
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process; gives the exit code."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["ensembler", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli_main.main()
        return int(stopped.value.code or 0)

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a store of three samples: two members, the last row in neither."""
    monkeypatch.chdir(tmp_path)
    Path("samples.csv").write_text("imgId\n" + "\n".join(IDS) + "\n")
    Path("ids.txt").write_text("\n".join(IDS[:2]) + "\n")
    np.save("vectors.npy", np.eye(4, dtype=np.float32)[:2])
    create_store("test", "samples.csv")
    for name in ("convnext", "blip-captions"):
        add_member("test", name, ["vectors.npy"], ids=["ids.txt"])
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_predict_writes_the_submission_and_says_what_it_did(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", "test", "--spec", SPEC) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "Wrote submission.csv: 3 rows blended from convnext, blip-captions.\n"
        "Given the prior: 1 rows without a member, 0 whose members cancelled.\n"
    )
    assert printed.err == ""
    lines = Path("submission.csv").read_text().splitlines()
    assert lines[0] == "imgId_eId,val"
    assert [line.split(",")[0] for line in lines[1:5]] == ["00f_0", "00f_1", "00f_2", "00f_3"]
    assert lines[-4:] == [f"a4e1c55a9_{k},0.5" for k in range(4)]


@pytest.mark.usefixtures("folder")
def test_predict_json_is_one_object_on_stdout(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "test", "--spec", SPEC, "--out", "mine.csv", "--json") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result.pop("seconds") >= 0
    assert result == {
        "out": "mine.csv",
        "rows": 3,
        "members": ["convnext", "blip-captions"],
        "missing_members": [],
        "unused_members": [],
        "prior_rows": 1,
        "cancelled_rows": 0,
        "digest": load_spec(SPEC).digest,
    }
    assert Path("mine.csv").exists()


@pytest.mark.usefixtures("folder")
def test_predict_names_the_members_that_the_spec_does_not_know(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    add_member("test", "conv_next", ["vectors.npy"], ids=["ids.txt"])
    assert run("predict", "test", "--spec", SPEC) == 0
    assert capsys.readouterr().err == "Not in the spec, and left alone: conv_next.\n"


@pytest.mark.usefixtures("folder")
def test_predict_keeps_the_order_of_the_sample_submission(run: Run) -> None:
    keys = [f"{name}_{k}" for k in range(4) for name in IDS]
    Path("sample.csv").write_text("imgId_eId,val\n" + "".join(f"{key},0\n" for key in keys))
    assert run("predict", "test", "--spec", SPEC, "--sample-submission", "sample.csv") == 0
    lines = Path("submission.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == keys


@pytest.mark.usefixtures("folder")
def test_predict_without_a_member_exits_4_and_says_so_on_stderr(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    from ensembler.store.writer import remove_member

    remove_member("test", "convnext")
    assert run("predict", "test", "--spec", SPEC, "--json") == 4
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["members"], result["missing_members"]) == (["blip-captions"], ["convnext"])
    assert "test lacks convnext; the weights of the other members were solved again" in printed.err
    assert len(Path("submission.csv").read_text().splitlines()) == 1 + 3 * 4


@pytest.mark.usefixtures("folder")
def test_predict_without_a_member_of_given_weights_says_that_the_others_keep_theirs(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    from ensembler.store.writer import remove_member

    spec = load_spec(SPEC)
    study = {**spec.provenance.study, "weights": "fixed"}
    seal(
        dim=spec.dim,
        blend=spec.blend,
        scores=spec.scores,
        provenance=spec.provenance.model_copy(update={"study": study}),
        coreset=spec.coreset,
    ).save("fixed.json")
    remove_member("test", "convnext")
    assert run("predict", "test", "--spec", "fixed.json") == 4
    assert "lacks convnext; the other members keep the weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "fault"),
    [
        (".", "'.' is a folder and cannot be written; name a file in it"),
        ("", "'' is a folder"),
        ("test", "'test' is a folder"),
        ("no/such.csv", "there is no folder no; make it"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_predict_into_no_file_exits_2_before_anything_is_read(
    run: Run, capsys: pytest.CaptureFixture[str], out: str, fault: str
) -> None:
    assert run("predict", "test", "--spec", "nowhere.json", "--out", out) == 2
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("name", ["images", "samples.csv", "nowhere"])
@pytest.mark.usefixtures("folder")
def test_predict_of_anything_but_a_store_exits_2(
    run: Run, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("images").mkdir()
    assert run("predict", name, "--spec", SPEC) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert f"({name} is taken for a folder of images: it has no manifest.json" in printed.err
    assert not Path("submission.csv").exists()


@pytest.mark.usefixtures("folder")
def test_predict_without_a_spec_exits_2_and_names_it(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", "test") == 2
    assert "ensemble.json cannot be read (No such file" in capsys.readouterr().err
