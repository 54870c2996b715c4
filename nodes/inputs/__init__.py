"""Where audio comes from: files, URLs, sound devices, PCM over ZeroMQ and on standard input."""
