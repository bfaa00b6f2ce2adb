"""The protobuf messages of the API, read and written without a library of it."""
