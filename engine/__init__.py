"""The pure margin engine: words, exact reference, ladder and account books.

Nothing below this package does I/O, reads a clock, draws a random number or logs. Time and prices are
arguments; every refusal is a value; every broken invariant is an exception that must end the process.
"""
