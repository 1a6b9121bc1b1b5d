"""Kills the suite's processes under load and compares the books with what the upstream really served.

`python -m chaos --rounds N --seed S` with `tests` on PYTHONPATH; `test_kills.py` is the short form.
"""
