"""What the products share with the world: vocabulary, drivers, sources, web."""
