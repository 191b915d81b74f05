"""One worker process: the composition root, the Faust agents, the watchdog, the HTTP address.

The only folder that knows Faust.
"""
