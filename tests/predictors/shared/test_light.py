"""Adapters are listed, and their configs checked, without loading what their models need."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"PIL", "faiss", "open_clip", "sentence_transformers", "timm", "torch", "transformers"}
LOAD_ALL = """
import json, sys
from ensembler.plugins import PREDICTORS, registered
ours = [entry for entry in registered(PREDICTORS).values() if entry.value.startswith("predictors.")]
for entry in ours:
    entry.load()
print(json.dumps([len(ours), sorted(sys.modules)]))
"""


def test_our_adapters_import_no_model_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], check=True, capture_output=True, text=True
    )
    count, modules = json.loads(done.stdout)
    assert count >= 4
    assert not {name.partition(".")[0] for name in modules} & HEAVY
