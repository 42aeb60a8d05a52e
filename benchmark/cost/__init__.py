"""What a network costs: counters, named conventions over one count, a cache, the audit of printed costs, and timings.

Only `counters` imports torch, and `latency` while it times. Everything else works on the records that they leave.
"""
