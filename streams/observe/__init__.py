"""Every Prometheus metric of a worker, and the gauges that are computed behind the tick path.

Knows config and the contract.
"""
