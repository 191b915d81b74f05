"""The commands of `unimargin`, one module each."""
