"""Multiple-instance networks that CMUS-Net is compared with: one file for each family."""
