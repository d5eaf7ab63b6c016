"""The embedded model server: TensorFlow Serving's gRPC contract over the wheel's own C++ loader."""
