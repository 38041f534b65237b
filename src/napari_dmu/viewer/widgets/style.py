"""Style sheets: what napari's themes leave out, in colours that are seen on the dark and on the light one."""

# Round what has the keyboard, which the themes do not show: a contrast of 3.5 : 1 on the background of either.
RING = "#2a80c8"

# Of what stands back: the same contrast.
MUTED = "#7c8087"

# napari gives boxes room for much longer arrows, and a box for numbers one size whatever its font. What has the
# keyboard gives to its ring as much room as it takes from the padding, so that nothing moves.
PANEL = f"""
QComboBox {{ padding: 2px 0px 2px 6px; }}
QComboBox:focus {{ border: 2px solid {RING}; padding: 0px 0px 0px 4px; }}
QComboBox::drop-down {{ width: 18px; }}
QComboBox::down-arrow {{ width: 10px; height: 10px; }}
QAbstractSpinBox {{ min-width: 8em; min-height: 1.3em; padding: 2px 10px; }}
QAbstractSpinBox:focus {{ border: 2px solid {RING}; padding: 0px 8px; }}
QDialog QLineEdit:focus {{ border: 2px solid {RING}; padding: 0px; }}
QPushButton:focus {{ border: 2px solid {RING}; padding: 2px; }}
QPushButton#open_measurement, QPushButton#add_set {{ padding: 4px 2px; }}
QPushButton#open_measurement:focus, QPushButton#add_set:focus {{ padding: 2px 0px; }}
QCheckBox {{ border: 2px solid transparent; border-radius: 2px; }}
QCheckBox:focus {{ border: 2px solid {RING}; }}
"""

# White on this blue has a contrast of 6 : 1, on dark themes and on light ones; so has the inner one of two lines.
PRIMARY = """
QPushButton { background-color: #1f6fb2; color: #ffffff; font-weight: 600; padding: 6px; border-radius: 3px; }
QPushButton:hover { background-color: #2a80c8; }
QPushButton:focus { border: 4px double #ffffff; padding: 2px; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 0.25); color: rgba(160, 160, 160, 0.9); }
"""

# napari paints a button that is down in the colour of a selection: an open section is none.
TITLE = f"""
QPushButton {{ text-align: left; border: 2px solid transparent; padding: 3px; }}
QPushButton:checked {{ background-color: rgba(128, 128, 128, 0.25); }}
QPushButton:focus {{ border: 2px solid {RING}; padding: 3px; }}
"""
