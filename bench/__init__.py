"""Measurements of speed and error, which `auricle bench` runs from a source tree.

`measures` has a module for each, `contenders` the scripts that they run in processes of their own.
`timing` is how things are timed, `report` what comes of it, `drawings` its pictures. `figures` and
`quoted` make the tables of the pages, `against` compares an older revision with this tree, `rerun`
measures again. `docs/bench.md` says how to read the figures.
"""
