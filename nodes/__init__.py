"""The nodes of graphs: inputs, front ends, backbone, heads, aggregator, publisher."""

CLASSES = {
    "FileInput": "auricle.nodes.inputs.file:FileInput",
    "UrlInput": "auricle.nodes.inputs.url:UrlInput",
    "Microphone": "auricle.nodes.inputs.microphone:Microphone",
    "ZmqInput": "auricle.nodes.inputs.zmq:ZmqInput",
    "StdinInput": "auricle.nodes.inputs.stdin:StdinInput",
    "MelSpectrogram": "auricle.nodes.mel_spectrogram:MelSpectrogram",
    "Backbone": "auricle.nodes.backbone:Backbone",
    "Heads": "auricle.nodes.heads:Heads",
    "Aggregator": "auricle.nodes.aggregator:Aggregator",
    "Publisher": "auricle.nodes.sinks.publisher:Publisher",
}
"""Classes that graph files name, and the module of each; imported when a graph has one."""
