"""Versions of the code that embeds: the same weights may give other vectors in another release."""

from __future__ import annotations

from importlib.metadata import packages_distributions, version

from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.registry import find_adapter


def code_versions(adapter: str) -> dict[str, str]:
    """The versions of an adapter's package and of the libraries that it needs; none is imported.

    Args:
        adapter: the adapter's name.

    Returns:
        Distribution → version, by name.

    Raises:
        PredictorError: no package registers the name, or its package cannot be imported.
    """
    modules = packages_distributions()
    names = {name for module in find_adapter(adapter).needs for name in modules.get(module, ())}
    versions = {name: version(name) for name in names}
    package = registered(PREDICTORS)[adapter].dist
    if package is not None:
        versions[package.name] = package.version
    return dict(sorted(versions.items()))
