"""The embedded corpus `demo` (synthetic speech, simulated annotators) and the script that trains `nano` on it."""
