"""Check a finished demo run against the demo's claims: `python resources/demo/check.py`."""

from nephroscale_demo.check import main

if __name__ == "__main__":
    raise SystemExit(main())
