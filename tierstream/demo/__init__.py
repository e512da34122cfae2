"""The demo traffic of tierstream: one day's LLM requests of a mid-size online shop, with the right answers.

"Northwind Outfitters" is invented, and so is every person, company and order in the corpus. `corpus.jsonl`
holds one request a line; `tierstream.demo.corpus` reads it, draws samples by weight and judges answers.
"""
