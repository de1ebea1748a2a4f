"""The commands below ``classroom``; see `cnnkit.cli.dispatch`."""
