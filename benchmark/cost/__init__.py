"""What a network costs: counters, named conventions over one count, a cache, the audit of printed costs, and timings.

What counts or runs a network needs torch: `counters`, `tracing`, the rules and kinds of operators, `torch_formulas`,
`architecture`, and `timing` while it times. Everything else works on the records that they leave.
"""
