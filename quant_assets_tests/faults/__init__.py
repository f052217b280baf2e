"""Tests that inject faults; docs/reliability.md lists the promise that each of them holds."""
