"""The door to blackjax, which is imported when it is first needed."""

from types import ModuleType


def import_blackjax() -> ModuleType:
    """Import blackjax.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import blackjax
        import blackjax.mcmc.hmc
        import blackjax.smc.resampling
        import blackjax.smc.tempered
    except ImportError as error:
        raise ImportError('this sampler needs blackjax, not installed: pip install "jaxgen[mcmc]"') from error
    return blackjax
