"""Which code turns an image into a vector: the same weights give others under another release."""

from __future__ import annotations

from importlib.metadata import packages_distributions, version

from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.registry import find_adapter


def code_versions(adapter: str) -> dict[str, str]:
    """The releases of an adapter's package and of the libraries that it needs; none is imported.

    Args:
        adapter: its name.

    Returns:
        Distribution → version, by name.

    Raises:
        PredictorError: nobody registers the name, or its package cannot be imported.
    """
    modules = packages_distributions()
    names = {name for module in find_adapter(adapter).needs for name in modules.get(module, ())}
    found = {name: version(name) for name in names}
    package = registered(PREDICTORS)[adapter].dist
    if package is not None:
        found[package.name] = package.version
    return dict(sorted(found.items()))
