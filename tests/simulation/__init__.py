"""Schedules by chance: the real service on a virtual clock, where any process may die at any step."""
