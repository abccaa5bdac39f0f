"""How spec-v1-composed.json came about: of the first golden spec, with every kind of blend above.

Usage: python -m tests.golden.make_composed_spec FOLDER. Run once, before its release; the files are
never made again.
"""

import sys
from pathlib import Path

from ensembler.spec.loading import load_spec
from tests.composed_specs import composed, every_kind

if __name__ == "__main__":
    plain = load_spec(Path(__file__).with_name("spec-v1.json"))
    names = [member.name for member in plain.weighted.members]
    spec = composed(plain, every_kind(names, plain.dim))
    spec.save(Path(sys.argv[1]) / "spec-v1-composed.json")
