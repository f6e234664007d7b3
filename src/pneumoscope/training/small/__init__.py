"""What the trainings of small networks share: settings, the loop, and the ONNX file."""
