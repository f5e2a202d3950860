"""The folder that callers name files of: what may be read, and how it becomes part of a request."""
