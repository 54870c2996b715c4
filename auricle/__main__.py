"""Entry point of the command `auricle`."""


def main() -> None:
    """Run the command line."""
    from auricle.cli import cli

    cli(prog_name="auricle")


if __name__ == "__main__":
    main()
