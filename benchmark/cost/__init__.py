"""What a network costs: counters, named conventions over one count, a cache, and the audit against printed costs.

Only `counters` imports torch. Everything else works on the `CostRecord` that it leaves behind.
"""
