"""The network of a single domain as torch.export or ONNX, for use without udbench."""
