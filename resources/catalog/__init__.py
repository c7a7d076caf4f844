"""The catalog: ledger, quarantine, sources, dirty days. Reads and writes the tables of `schemas.catalog`."""
