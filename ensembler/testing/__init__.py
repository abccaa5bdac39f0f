"""Conformance suites for plug-ins of other packages: subclass one and supply a fixture."""

import pytest

# So that a failing claim shows its values in a stranger's test run as in ours.
pytest.register_assert_rewrite("ensembler.testing.blenders", "ensembler.testing.predictors")
