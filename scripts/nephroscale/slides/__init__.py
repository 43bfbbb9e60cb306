"""Reading whole slides: facts, tissue, stain and tiles."""
