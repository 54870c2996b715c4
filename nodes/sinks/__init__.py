"""Where results go: to the wire, or to a program."""
