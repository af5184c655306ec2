"""The pure heart of the controller: scan, ledger, allocation, guard; no clock and no I/O."""
