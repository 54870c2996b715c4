"""How good embeddings are: heads, retrieval, agreement, reports."""
