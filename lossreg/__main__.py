"""`python -m lossreg`."""

from __future__ import annotations

import os
import sys

from lossreg.cli import main


def _working_directory_last() -> None:
    """Look for modules in the working directory after all other places, not before them.

    Python puts it in front, where any file of it takes the place of an installed module.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than Ctrl-C may wait
    except OSError:  # somebody has deleted it
        return
    if sys.path[:1] == [here]:
        sys.path.append(sys.path.pop(0))


if __name__ == "__main__":
    _working_directory_last()
    sys.exit(main())
