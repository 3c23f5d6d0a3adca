"""Generate images of words in the layout of Synth90k, for users who cannot download the original.

The steps are those of Jaderberg et al., Synthetic Data and Artificial Neural Networks for Natural Scene Text
Recognition, 2014, section 2, implemented from the paper: font rendering, border or shadow, base colouring,
projective distortion, natural data blending, noise. The images are not those of Synth90k, and results on them are not
comparable with results on it.
"""
