"""The commands a user types, one function each: their words become the arguments of a function of the house."""
