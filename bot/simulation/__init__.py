"""Randomized simulation: plays a seed's world and checks the guarantee."""
