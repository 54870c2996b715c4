"""Published data sets, read from the files as they are published: `(Manifest, Task)` of each."""
