"""Randomized simulation: plays a seed's world and checks it from the platform's side."""
