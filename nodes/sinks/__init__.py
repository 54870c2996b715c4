"""Nodes that hand results on: to the wire, or to a program."""
