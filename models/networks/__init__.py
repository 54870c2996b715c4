"""The backbones as PyTorch modules, to train and to export; nothing that runs a graph imports them.

Every network takes `mel` (batch, frames, bands) and gives `(logits, embeddings)`.
"""
