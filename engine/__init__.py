"""The dataflow core: streams on mirrored rings, nodes, graphs, schedulers, clocks, the wire.

It knows no audio feature and imports nothing of the other packages.
"""
