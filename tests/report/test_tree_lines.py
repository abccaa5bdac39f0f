"""The indented lines of a composed blend."""

from __future__ import annotations

from pathlib import Path

from ensembler.report.spec_table import spec_table
from ensembler.report.tables import WIDTH, as_text
from ensembler.report.tree_lines import tree_lines
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.freeze_tree import freeze_tree
from ensembler.spec.loading import load_spec
from tests.composed_specs import every_kind

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1-composed.json"

TREE = """\
weighted sum of blends, each less its mean
   0.250000  prior (constant)
   0.750000  mapped · ‖x‖^-1
    linear map of 2 members, each less its mean
    added to 0.8750 times
      a gain for each direction of
        weighted sum, each less its mean, gated by agreement (2)
           0.250000  prior (constant)
           0.500000  convnext · ‖x‖^-0.875
           0.625000  blip · ‖x‖^-1
   0.375000  smooth · ‖x‖^-0.25
    smooth function of 3 landmarks (width 2.5)
    added to 0.7500 times
      a gain for each coordinate of
        weighted sum
           0.250000  prior (constant)
           0.750000  blip · ‖x‖^-0.875
   0.250000  alone · ‖x‖^-0.375
    linear map of 1 members
    added to 0.5000 times the prior (constant)
"""


def test_each_part_stands_indented_below_what_is_made_of_it() -> None:
    tree = freeze_tree(every_kind(["convnext", "blip"], 4)).tree
    assert list(tree_lines(tree)) == TREE.splitlines()


def test_the_table_of_a_composed_spec_shows_its_tree_and_whose_the_shares_are() -> None:
    spec = load_spec(GOLDEN)
    text = as_text(spec_table(spec))
    assert isinstance(spec.blend, ComposedSpec)
    assert "\n".join(tree_lines(spec.blend.tree, "  ")) in text
    assert "of the plain weights that stand\nin for the blend when a member is missing" in text
    assert max(map(len, text.splitlines())) <= WIDTH
