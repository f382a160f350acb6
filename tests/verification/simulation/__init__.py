"""Random schedules: the real service runs on a virtual clock, and any process may die at any step."""
