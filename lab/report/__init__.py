"""A run as text and figures.  Reports are functions of one loaded run and know no image and no machine."""
