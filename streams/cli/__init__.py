"""The command line `unimargin`: one folder a command family, with its tables and words beside it.

Knows every other folder; nothing imports it.
"""
