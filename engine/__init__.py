"""The dataflow core: streams on mirrored rings, nodes, graphs, schedulers, clocks.

It knows no audio feature and imports none of the other packages.
"""
