"""Scripts that each run one contender in a separate process; see `protocol.py`.

They are run by path. Those of other programs run in environments without this project, and import
nothing of it but the protocol beside them; `auricle_*.py` are the project's own contenders.
"""
