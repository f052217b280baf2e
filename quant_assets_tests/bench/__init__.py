"""Benchmarks: `make bench` measures the stages and whole scans, and writes the table of docs/performance.md."""
