"""Hold a finished demo run against what the demo claims: `python resources/demo/check.py`."""

from nephroscale.demo.check import main

if __name__ == "__main__":
    raise SystemExit(main())
