"""The embedded corpus `demo` (synthetic speech, simulated annotators), and the base and rationales of `nano`."""
