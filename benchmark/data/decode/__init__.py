"""Frames of videos and of folders of images, by their number."""
