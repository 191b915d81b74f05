"""The inputs of a day again, in one process."""
