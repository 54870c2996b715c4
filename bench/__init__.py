"""Measurements: each module's `measure` returns a report, and is a subcommand of `auricle bench`.

`timing` is how things are timed, `report` what comes of it, `plots` and `drawings` its curves,
`workers` and `contenders/` are those that run in processes of their own. `docs/bench.md` says how
to read the figures.
"""
