"""How generation is executed. `transformers`: in this process."""
