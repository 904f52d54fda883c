"""Context parallelism: a sequence whose tokens lie in shards on the devices of a mesh axis."""
