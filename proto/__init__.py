"""The contracts: messages, protobuf, the signal and tick codecs, the error tree."""
