"""A failing stop reduced to the smallest program that still shows it, written as a test: the way to disagree."""
