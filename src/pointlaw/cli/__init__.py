"""The command line: one verb a command. It alone prints; every command imports what it needs when it runs."""

from pointlaw.cli.app import main

__all__ = ["main"]
