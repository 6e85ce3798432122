"""The single figures of a run folder: in each file the numbers behind one picture, and the picture.

`files` reads the folder, `rounds` finds what a round waited for, `style` is how all of them look.
"""
