"""Corpora, from disk to the tensors that the model reads.

`corpus` has Tweet and Corpus, `spans` the entities of a tweet. `load` opens a corpus by name: from disk through
`twitter` (folders) and `conll` (texts), or drawn by `tinytweets`. `pictures` reads one picture safely, `boxes` says
where the crops of one's own photos are, `crops` decodes a split's crops once and caches them, and `batch` turns tweets
into `Batch`, the only thing that the model reads.
"""
