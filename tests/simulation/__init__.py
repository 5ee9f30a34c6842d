"""Whole clusters in one process, with everything going wrong: `python -m tests.simulation --help`.

`options` draws a cluster, `faults` what befalls it, `world` lives it, `checkers` looks on through a
clock that no node sees, `run` does one seed and shrinks what fails; `mutants` breaks the protocol to see
that the checkers notice; `small` tries every order of events in worlds small enough for that.
"""
