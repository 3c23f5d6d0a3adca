"""What the server of the Visual Decathlon took: a run's answers for test images whose labels are not here."""
