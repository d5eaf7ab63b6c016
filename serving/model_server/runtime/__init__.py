"""TensorFlow's C++ runtime by ctypes: the library, sessions, tensors."""
