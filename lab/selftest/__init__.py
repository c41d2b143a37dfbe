"""Self-tests that ship with the package: two sources for the same fact, compared on this machine.

Each check takes one image and returns a ``Part``; ``suite`` chooses the images and adds the parts up.
"""
