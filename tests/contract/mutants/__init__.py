"""A sixth vendor, made as ``docs/adding_a_vendor.md`` says, and its mutants: what the contract suite must catch."""
