"""What browsers load, packed when the process starts: `synckairos/web/README.md` says how pages are made."""
