"""Optical flow: computed, extracted once, and read back."""
