"""Who can read a file that holds a secret."""

import stat
from pathlib import Path


def exposed(file: Path) -> str:
    """What to tell of a file that everybody on this machine may read; nothing of another."""
    if not file.stat().st_mode & stat.S_IROTH:
        return ""
    return f"stands in {file}, which everybody on this machine can read: chmod o= {file}"
