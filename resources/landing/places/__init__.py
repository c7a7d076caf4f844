"""Kinds of places a landing zone can be in, all alike from outside: a folder, a bucket, anything fsspec reaches."""
