"""The cases of VMs in use: each is a fault that was seen once, played against real processes.

``python -m tests.cases`` prints a row for each: the case, the result before it was fixed, and the result now. With
``--twistd`` the processes come from another virtual environment, such as one of an older commit.
"""
