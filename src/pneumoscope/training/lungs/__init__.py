"""Training the lung segmenter: `training` fits it, `export` makes its file.

What it sees: `data` are radiographs with masks, `augment` changes them. `net` is the network.
"""
