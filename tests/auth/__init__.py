"""Tests of who knows the users."""
