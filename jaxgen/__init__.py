"""Deep generative models in JAX."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jaxgen")
except PackageNotFoundError:  # run from a source tree
    __version__ = "not installed"

__all__ = ["__version__"]
