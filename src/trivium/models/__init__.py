"""Neural modules and nothing else: they know tensors, not tasks, text or training."""
