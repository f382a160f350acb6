"""The proof: the invariants, and the programs that check them."""
