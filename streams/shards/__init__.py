"""The shards of a worker: the Faust-free heart (`processor`), taking over, recovering, group commit.

Knows everything above it in the list of folders, never Faust.
"""
