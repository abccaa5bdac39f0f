"""`ensembler spec show`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ensembler.cli.main import cli
from ensembler.errors import SpecError

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1.json"


def test_spec_show_json_is_the_document_itself() -> None:
    result = CliRunner().invoke(cli, ["spec", "show", str(GOLDEN), "--json"])
    assert result.exit_code == 0
    assert result.stdout_bytes == GOLDEN.read_bytes()
    assert result.stderr == ""


def test_spec_show_prints_every_member_and_score_within_80_columns() -> None:
    printed = CliRunner().invoke(cli, ["spec", "show", str(GOLDEN)], catch_exceptions=False).stdout
    for text in ("convnext", "blip-captions", "dropped", "0.6250", "0.5625", "the single best"):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_spec_show_refuses_a_changed_spec(tmp_path: Path) -> None:
    file = tmp_path / "ensemble.json"
    file.write_bytes(GOLDEN.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(SpecError, match="changed after it was written"):
        CliRunner().invoke(
            cli, ["spec", "show", str(file)], catch_exceptions=False, standalone_mode=False
        )
