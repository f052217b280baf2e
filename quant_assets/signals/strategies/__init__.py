"""The built-in strategies, one file each; every module here defines `strategy`."""
