"""What the proof is made of: the invariants, and what checks them."""
