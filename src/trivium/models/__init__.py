"""Neural modules and nothing else: they know tensors, not tasks, text or training."""

import os

# oneDNN keeps every product it has compiled, by shape, up to 1,024 of them.  Batches whose size changes at every step
# fill that with shapes that never come back: some hundred MB.  It reads this once, at its first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
