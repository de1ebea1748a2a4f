"""The data of `cnnkit.data.store.open_sample`, and the script that drew it. See README.md beside this file."""
