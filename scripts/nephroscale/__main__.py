"""`python -m nephroscale` is the command `nephroscale`."""

import sys

from nephroscale.cli import main

if __name__ == "__main__":
    sys.exit(main())
