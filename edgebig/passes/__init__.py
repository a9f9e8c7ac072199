"""Graph passes: the contract, and running several of them."""
