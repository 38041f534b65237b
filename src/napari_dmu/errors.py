"""The few kinds of error a user can meet; every message is one sentence that says what to do next."""


class DmuError(Exception):
    """Base of every error that napari-dmu raises on purpose; safe to show to the user as it is."""


class SpecimenError(DmuError):
    """The image cannot be used as a specimen (shape, type, values), or a segmenter fails on it."""


class SettingsError(DmuError):
    """A setting is outside what physics or the file format allows."""


class PatternSetError(DmuError):
    """A pattern set is missing, damaged, too new or does not fit the measurement."""


class FileError(DmuError):
    """A file cannot be read or written."""


class DeviceError(DmuError):
    """The requested compute device is not there or ran out of memory."""


class Cancelled(DmuError):
    """The user stopped the work; nothing was written."""
