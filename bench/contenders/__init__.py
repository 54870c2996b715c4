"""Scripts that each run one contender in a process of its own; see `protocol.py`.

They are run by path. Those of other programs run in environments that have nothing of this project,
and import nothing of it but the protocol beside them; `auricle_*.py` are the project's own side.
"""
