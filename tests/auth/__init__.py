"""Tests of user authentication."""
