"""Deep generative models in JAX."""

from importlib.metadata import version

__version__ = version("jaxgen")

__all__ = ["__version__"]
