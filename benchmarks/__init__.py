"""What is measured against what; ``python -m benchmarks`` runs it, docs/benchmarks.md tells about it."""
