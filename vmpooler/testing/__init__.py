"""Tests for the package of a provider: the contract that every provider keeps. Needs pytest and pytest-twisted.

A test module derives a class from :class:`ProviderContract`, and defines the fixture ``case``. CONTRIBUTING.md has an
example.
"""

import pytest

pytest.register_assert_rewrite("vmpooler.testing.contract")

from vmpooler.testing.contract import ProviderCase, ProviderContract, ReactorCase, booted, cloned  # noqa: E402 - must follow the registration

__all__ = ["ProviderCase", "ProviderContract", "ReactorCase", "booted", "cloned"]
