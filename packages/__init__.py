"""What is installed on a node: a wheel, and a Debian package and an RPM made of it.

`python -m packages` (`make packages`) builds all three. Both packages hold one tree, see `tree.py`: a virtual
environment of their own under /opt/kagemusha, filled from requirements/runtime.lock, so that no library of
the distribution can change under the agent. docs/decisions/0020-packages.md says why.
"""
