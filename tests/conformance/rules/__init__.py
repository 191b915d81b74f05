"""Rules of other systems that only published cases need: the product judges by none of them.

An adapter that calls one says so by calling it, and the report counts its case apart. What the product computes itself, an
adapter asks the engine for.
"""
