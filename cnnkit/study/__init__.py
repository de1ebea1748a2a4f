"""Studies: configurations x overrides x seeds -> runs -> one honest table.

A study is a folder with a ``study.yaml`` (`plan`). Its runs are ordinary run folders, found again by what they computed
(`cnnkit.runs.identity`), run one after the other or in parallel (`engine`), and summarized (`results`).
"""
