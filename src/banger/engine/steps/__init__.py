"""What each step of a plan does and undoes, and the runner that journals them."""
