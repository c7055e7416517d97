"""Monte Carlo of dipolar spheres: equilibrium without dynamics."""
