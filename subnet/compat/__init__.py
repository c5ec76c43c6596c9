"""Bridges to other wires, for subnets that move from one to another. Nothing else imports them."""
