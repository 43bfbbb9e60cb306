"""The commands of `nephroscale`: short functions that parse options, call one function and print the outcome."""
