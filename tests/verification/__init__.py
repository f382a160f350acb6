"""Programs that test the whole service: simulation, chaos, load, and the proof that runs them."""
