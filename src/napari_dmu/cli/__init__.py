"""The command line: one module a command, nothing heavy before it is needed."""
