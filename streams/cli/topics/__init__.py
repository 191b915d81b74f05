"""The topics of the pipeline and the contract of their messages."""
