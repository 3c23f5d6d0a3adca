"""The input pipeline: sampling, decoding, augmentation and batches."""
