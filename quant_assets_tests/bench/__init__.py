"""Benchmarks: `make bench` measures the stages and the whole, and writes the table of docs/performance.md."""
