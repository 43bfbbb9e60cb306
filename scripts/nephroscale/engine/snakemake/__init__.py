"""What the workflow knows of Snakemake and Slurm: their files and private interfaces, here alone."""
