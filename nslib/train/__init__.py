"""Training: the paper's triplet objective, from raw audio to an embedding with the taps of TRILL."""
