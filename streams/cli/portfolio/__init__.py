"""Portfolios that nobody holds."""
