"""Ours and the other load generators of the field, beside the same server of known times."""
