"""The forms in which people keep the papers' data sets: what their label files list, and where the clips lie."""
