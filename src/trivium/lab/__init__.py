"""The laboratory that recipes are run in: small bases made once, training loops, measuring, and a runner with a cache.

An arm gets a `Lab` and returns `Scored`.  Everything random follows from the lab's seed and every worker computes on
one thread, so an arm gives the same numbers again on the same kind of machine.
"""
