"""Generate a synthetic cohort: `python resources/demo/generate.py tiny --out demo/tiny`.

The package beside this file needs no installation: Python puts a script's folder on its path.
"""

from nephroscale_demo.write import main

if __name__ == "__main__":
    raise SystemExit(main())
