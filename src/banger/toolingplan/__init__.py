"""The tools that a repository pins, from the files that name them. Pure.

Every file is foreign: nothing of it is run or included, contents are bounded by whoever reads them
(`FILES`), and a name or version is taken only if it fits a strict grammar (`pins`). What is not
understood is a problem with a sentence of its own, never an error.
"""
