"""The commands that look at nets, runs and data; see `cnnkit.cli.dispatch`."""
