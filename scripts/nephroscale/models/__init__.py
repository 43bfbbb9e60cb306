"""CMUS-Net and the networks it is compared with."""
