"""Pure arrays in, pure arrays out: consensus and the rules that turn replies into weights. No I/O."""
