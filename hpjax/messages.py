"""What is said to the user where no `say=` was given."""

from __future__ import annotations

import sys


def warn(text: str) -> None:
    """Prints a line to standard error."""
    print(text, file=sys.stderr)
