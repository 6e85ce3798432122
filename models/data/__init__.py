"""Students: real images with calibrated generated traces, real education data, and who holds what."""
