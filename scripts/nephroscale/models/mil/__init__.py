"""Multiple-instance networks, comparators of CMUS-Net: one file for each family."""
