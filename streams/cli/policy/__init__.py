"""A policy file before it is put in force, and venue files as policy text."""
