"""One module per kind of encoder, named by `nephroscale.features.registry` and imported only when chosen."""
