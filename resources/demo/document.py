"""Write the figures and pictures of a finished demo run into the documents: `python resources/demo/document.py`."""

from nephroscale_demo.document import main

if __name__ == "__main__":
    raise SystemExit(main())
