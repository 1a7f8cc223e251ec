"""A Django app, as its users write it."""
