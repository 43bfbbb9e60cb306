"""The generator of the synthetic cohorts: slides, immunofluorescence fields and electron micrographs."""
