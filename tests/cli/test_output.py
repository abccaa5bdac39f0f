"""JSON on stdout: text as it is, and what no encoding holds escaped."""

from __future__ import annotations

import io
import json
import sys

import pytest

from ensembler.cli.output import print_json


def test_text_beyond_ascii_stands_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"id": "Süß–1"})
    assert capsys.readouterr().out == '{"id": "Süß–1"}\n'


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "a–b"), ("utf-8", "no UTF-8: \udcff")])
def test_text_that_stdout_cannot_hold_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str
) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        print_json({"path": text})
    stdout.seek(0)
    printed = stdout.read()
    assert printed.isascii()
    assert json.loads(printed) == {"path": text}
