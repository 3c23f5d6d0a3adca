"""The paper's residual networks for udbench."""
