"""One command on a trainer: fit, validate, test, predict."""
