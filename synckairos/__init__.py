"""SyncKairos: turn timers that everybody sees run the same, kept by Redis and relayed to every socket."""

__version__ = "0.2.0"

__all__ = ["__version__"]
