"""nephroscale: from raw renal-biopsy images to a trained and audited CMUS-Net."""

__version__ = "0.2.0"
