"""Draw a synthetic cohort: `python resources/demo/generate.py tiny --out demo/tiny`."""

from nephroscale.demo.write import main

if __name__ == "__main__":
    raise SystemExit(main())
