"""The lab: everything that measures, draws or shows the method, built on top of it (`pip install 'mgips[lab]'`).

Grids of runs and their statistics, probes and audits, figures and inspectors, the paper's tables. The method imports
none of it.
"""
