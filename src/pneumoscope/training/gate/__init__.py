"""Training the input gate: `training` fits it, `delivery` makes its file, threshold and figures.

What it sees: `pictures` are radiographs as they come and spoilt; `negatives` are drawn, `others`
real pictures that are no frontal chest radiograph. `net` is the network.
"""
