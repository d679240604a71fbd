"""Benchmarks: `python -m benchmarks [NAME ...]` prints figures and writes them to var/bench.json.

Each file named in `__main__.BENCHMARKS` measures one idea through one function that takes its sizes
and returns figures. Times are medians of interleaved rounds; a ratio is taken against a peer in the
same run.
"""
