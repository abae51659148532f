"""The benchmark: ours beside the field's general servers. `make bench` calls it; see README.md."""
