"""The catalog: ledger, quarantine, sources, files, schema versions, dirty days. Reads and writes `schemas.catalog`."""
