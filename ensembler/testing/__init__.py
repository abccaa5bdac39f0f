"""Suites that a package runs over its own plug-ins: subclass one, supply a fixture."""

import pytest

# So that a failing claim shows its values in a stranger's test run as in ours.
pytest.register_assert_rewrite("ensembler.testing.blenders", "ensembler.testing.predictors")
