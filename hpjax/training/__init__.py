"""How does one network go through time? `batches`, `stepping`, `loop`; and what a step is made of: losses, optimizers, metrics."""
