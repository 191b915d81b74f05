"""Backups of all shards in one file: written while workers run, checked without any service, restored into an empty Redis."""
