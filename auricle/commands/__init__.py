"""The subcommands of `auricle`, one module each, imported only when called."""
