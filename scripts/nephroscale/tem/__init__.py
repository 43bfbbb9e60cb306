"""TEM images: cleaning, instances and deposits."""
