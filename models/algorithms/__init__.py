"""Ways of learning together, one a file: a function of the file's name makes it of its knobs."""
