"""The panel in the window and its parts."""
