"""The wire: messages, their encoding, sockets, and the client."""
