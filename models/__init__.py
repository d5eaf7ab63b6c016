"""What is computed: features, the fold, the network and its training."""
