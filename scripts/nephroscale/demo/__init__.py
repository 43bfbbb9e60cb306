"""The demo cohort: synthetic slides, fluorescence fields and TEM images."""
