"""SyncKairos: turn timers that everybody sees run the same, kept by Redis and relayed to every socket."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("synckairos")
except PackageNotFoundError:  # run from a source folder that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
