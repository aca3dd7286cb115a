"""Calls that are refused."""

import pytest


def refuses(*cases, error=ValueError):
    """Each case is a message, or a pattern of it, and the call that it answers."""
    for message, call in cases:
        with pytest.raises(error, match=message):
            call()
