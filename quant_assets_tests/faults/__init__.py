"""Faults put in on purpose, each test named after the promise that it holds. docs/reliability.md lists them."""
