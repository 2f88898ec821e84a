def decode(payload, dims, ordinary):
    raise NotImplementedError
