"""Studies: configurations x overrides x seeds -> runs -> one honest table.

A study is a folder with a ``study.yaml`` (`plan`). Its runs are ordinary run folders, found again by what they computed
(`identity`), carried out one after the other or side by side (`engine`), and summed up (`answer`).
"""
