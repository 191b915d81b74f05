"""Checks that everything is in place that the promises rest on."""
