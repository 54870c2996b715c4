"""What runs in a graph: inputs, front ends, backbone, heads, aggregator, publisher."""

CLASSES = {
    "FileInput": "nodes.file_input:FileInput",
    "UrlInput": "nodes.url_input:UrlInput",
    "Microphone": "nodes.microphone:Microphone",
    "ZmqInput": "nodes.zmq_input:ZmqInput",
    "StdinInput": "nodes.stdin_input:StdinInput",
    "MelSpectrogram": "nodes.mel_spectrogram:MelSpectrogram",
    "Backbone": "nodes.backbone:Backbone",
    "Heads": "nodes.heads:Heads",
    "Aggregator": "nodes.aggregator:Aggregator",
    "Publisher": "nodes.publisher:Publisher",
}
"""Classes that graph files name, and where each is found; imported when a graph has one."""
