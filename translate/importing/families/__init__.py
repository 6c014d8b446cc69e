"""Public codes whose weights can be imported, one file each."""
