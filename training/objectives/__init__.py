"""What is learnt: tags, contrast, distillation."""
