"""Plans which artifacts are missing, and makes them."""
