"""The cases of what somebody has: each is a fault that was seen once, played against real processes.

``python -m tests.cases`` prints a row for each: the case, what was seen before it was repaired, and what is seen now.
With ``--twistd`` the processes are those of another virtual environment, such as that of an older commit.
"""
