"""What runs in a graph: inputs, front ends, backbone, heads, aggregator, publisher."""
