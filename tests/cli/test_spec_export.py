"""`ensembler spec export`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ensembler.cli.main import cli
from ensembler.errors import InputError
from ensembler.spec.export import export_python
from ensembler.spec.loading import load_spec

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1.json"


def export(*arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["spec", "export", str(GOLDEN), *arguments], catch_exceptions=False
    )


@pytest.mark.parametrize("arguments", [(), ("--python", "-")])
def test_spec_export_prints_the_file(arguments: tuple[str, ...]) -> None:
    assert export(*arguments).stdout == export_python(load_spec(GOLDEN))


def test_spec_export_writes_the_file_and_prints_nothing(tmp_path: Path) -> None:
    file = tmp_path / "blend.py"
    assert export("--python", str(file)).stdout == ""
    assert file.read_text("utf-8") == export_python(load_spec(GOLDEN))


def test_spec_export_json_holds_the_path_or_else_the_source(tmp_path: Path) -> None:
    file = str(tmp_path / "blend.py")
    assert json.loads(export("--python", file, "--json").stdout) == {"python": file}
    source = export_python(load_spec(GOLDEN))
    assert json.loads(export("--json").stdout) == {"python": source}


@pytest.mark.parametrize("out", [".", "", ".."])
def test_spec_export_to_a_folder_is_refused(out: str) -> None:
    with pytest.raises(InputError, match="is a folder and cannot be written; name a file in it"):
        export("--python", out)


def test_spec_export_into_a_folder_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"blend\.py cannot be written"):
        export("--python", str(tmp_path / "no" / "blend.py"))
