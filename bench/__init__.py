"""Measurements of speed and error, which `auricle bench` runs from a source tree.

`measures` has a module for each, `contenders` the scripts that they run in separate processes.
`timing` takes the times, `report` holds the results, `drawings` has the pictures. `figures` and
`quoted` make the tables of the pages, `against` compares an older revision with this tree, `rerun`
repeats measurements. `docs/bench.md` says how to read the figures.
"""
